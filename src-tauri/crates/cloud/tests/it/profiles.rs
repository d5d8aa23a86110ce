//! Trying a profile: what is right, and what is said of what is wrong.

use windlass_cloud::check::{Step, check};
use windlass_cloud::profile::Imported;
use windlass_cloud::{Secrets, Session};

use crate::{lab, way};

/// What a user sees of the steps, without what differs from lab to lab.
async fn tried(cloud: &Imported) -> String {
    let steps = check(&cloud.profile, &cloud.secrets, |_| ()).await;
    let mut text = String::new();
    for Step { what, outcome } in &steps {
        match outcome {
            Ok(said) => text += &format!("ok     {what}: {said}\n"),
            Err(error) => {
                text += &format!("wrong  {what}: {error}\n");
                if let Some(hint) = error.hint() {
                    text += &format!("       {hint}\n");
                }
            }
        }
    }
    for secret in ["password", "application_credential_secret"] {
        if let Some(secret) = cloud.secrets.get(secret) {
            assert!(!text.contains(secrecy::ExposeSecret::expose_secret(secret)));
        }
    }
    let address = way::address(&cloud.profile.auth_url.replace("localhost", "127.0.0.1"));
    text.replace(&address.port().to_string(), "PORT")
}

#[tokio::test]
async fn a_profile_that_is_right_is_walked_to_its_end() {
    let Some(cloud) = lab::cloud("lab-demo") else {
        return;
    };
    let text = tried(&cloud).await;
    // Other tests make servers.
    let (steps, quotas) = text.split_at(text.find("ok     Quotas").unwrap());
    insta::assert_snapshot!(steps);
    assert!(quotas.contains("servers used"), "{quotas}");
}

#[tokio::test]
async fn an_application_credential_logs_in() {
    let Some(cloud) = lab::cloud("lab-app") else {
        return;
    };
    let session = Session::connect(&cloud.profile, &cloud.secrets)
        .await
        .unwrap();
    assert_eq!(session.identity().project, "demo");
    let wrong = Imported {
        secrets: Secrets::new().with("application_credential_secret", "no such"),
        ..cloud
    };
    insta::assert_snapshot!(tried(&wrong).await);
}

#[tokio::test]
async fn a_wrong_login_is_told_apart_by_further_questions() {
    let Some(cloud) = lab::cloud("lab-demo") else {
        return;
    };
    let mut text = String::new();
    let mut wrong = cloud.clone();
    wrong.secrets.set("password", "Tr0ub4dor&3");
    text += &tried(&wrong).await;
    for (word, value) in [
        ("user_domain_name", "Nowhere"),
        ("project_name", "nothing"),
        ("project_domain_name", "Nowhere"),
    ] {
        let mut wrong = cloud.clone();
        wrong.profile.auth.insert(word.to_owned(), value.to_owned());
        text += &format!("\n{word}: {value}\n{}", tried(&wrong).await);
    }
    let mut wrong = cloud.clone();
    wrong.profile.auth.remove("project_name");
    text += &format!("\nno project\n{}", tried(&wrong).await);
    let mut wrong = cloud;
    wrong.profile.region = Some("Atlantis".to_owned());
    text += &format!("\nregion\n{}", tried(&wrong).await);
    insta::assert_snapshot!(text);
    assert!(!text.contains("Tr0ub4dor"));
}

#[tokio::test]
async fn the_way_to_keystone_is_told_where_it_ends() {
    let Some(cloud) = lab::cloud("lab-demo") else {
        return;
    };
    let mut text = String::new();
    let at = |url: String| {
        let mut changed = cloud.clone();
        changed.profile.auth_url = url;
        changed
    };
    let nobody = way::nobody().await;
    text += &tried(&at(format!("http://{nobody}/v3"))).await;
    let real = way::address(&cloud.profile.auth_url);
    text += &format!(
        "\nhttps where http is spoken\n{}",
        tried(&at(format!("https://{real}/v3"))).await
    );
    let (tls, authority) = way::tls(real, "localhost").await;
    let mut secured = at(format!("https://localhost:{}/v3", tls.port()));
    text += &format!("\nunknown authority\n{}", tried(&secured).await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, authority).unwrap();
    secured.profile.ca_file = Some(file.clone());
    let known = tried(&secured).await;
    assert!(
        known.contains("ok     Certificate: trusted by") && known.contains("ok     Login"),
        "{known}"
    );
    let mut elsewhere = at(format!("https://{tls}/v3"));
    elsewhere.profile.ca_file = Some(file);
    text += &format!("\nanother host\n{}", tried(&elsewhere).await);
    elsewhere.profile.insecure = true;
    let insecure = tried(&elsewhere).await;
    assert!(
        insecure.contains("ok     Certificate: not looked at") && insecure.contains("ok     Login"),
        "{insecure}"
    );
    let session = Session::connect(&cloud.profile, &cloud.secrets)
        .await
        .unwrap();
    drop(session);
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn a_service_that_is_no_keystone_is_told() {
    let Some(cloud) = lab::cloud("lab-demo") else {
        return;
    };
    let mut changed = cloud.clone();
    // Glance of the same lab.
    let keystone = way::address(&cloud.profile.auth_url);
    changed.profile.auth_url = format!("http://127.0.0.1:{}", keystone.port() + 4292);
    insta::assert_snapshot!(tried(&changed).await);
}
