//! A way to a server that a test can spoil: TLS by an authority of its own, cut after so many bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A server on TLS before another one; its address, and the certificate of its authority (PEM).
pub(crate) async fn tls(to: SocketAddr, name: &str) -> (SocketAddr, String) {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut here) = acceptor.accept(stream).await else {
                    return;
                };
                let mut there = TcpStream::connect(to).await.unwrap();
                let _ = copy_bidirectional(&mut here, &mut there).await;
            });
        }
    });
    (address, authority.pem())
}

/// A server before another one that cuts the first `cuts` connections on which more than `bytes` are sent.
pub(crate) async fn cutting(
    to: SocketAddr,
    bytes: usize,
    cuts: u32,
) -> (SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let done = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&done);
    tokio::spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            let counter = Arc::clone(&counter);
            tokio::spawn(async move {
                let mut there = TcpStream::connect(to).await.unwrap();
                let mut sent = 0;
                let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
                loop {
                    let went_on = tokio::select! {
                        read = here.read(&mut up) => match read {
                            Ok(count) if count > 0 => {
                                sent += count;
                                if sent > bytes && counter.load(Ordering::SeqCst) < cuts {
                                    counter.fetch_add(1, Ordering::SeqCst);
                                    return;
                                }
                                there.write_all(&up[..count]).await.is_ok()
                            }
                            _ => false,
                        },
                        read = there.read(&mut down) => match read {
                            Ok(count) if count > 0 => here.write_all(&down[..count]).await.is_ok(),
                            _ => false,
                        },
                    };
                    if !went_on {
                        return;
                    }
                }
            });
        }
    });
    (address, done)
}

/// Where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

/// The host and port of a URL of the lab, which is on loopback.
pub(crate) fn address(url: &str) -> SocketAddr {
    let rest = url.split_once("://").unwrap().1;
    rest.split('/').next().unwrap().parse().unwrap()
}
