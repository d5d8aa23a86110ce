//! Deployments: made whole, refused in words, and taken away without a trace.

use std::sync::Mutex;

use tokio_util::sync::CancellationToken;
use windlass_cloud::compute::{self, Action, Need};
use windlass_cloud::deploy::{Journal, Key, NetworkChoice, Plan, deploy, take_back};
use windlass_cloud::leftovers::{self, Kind};
use windlass_cloud::network::{self, Port, Protocol};
use windlass_cloud::{Error, Result, Session, images};

use crate::lab;

#[derive(Default)]
struct Notes {
    cancel: CancellationToken,
    /// Cancelled as soon as something of this kind is about to be made.
    until: Option<Kind>,
    intents: Mutex<Vec<(Kind, Option<String>)>>,
}

impl Journal for Notes {
    fn step(&self, _: &str) {}

    fn progress(&self, _: u64, _: u64) {}

    fn intent(&self, kind: Kind, _: &str) -> Result<String> {
        let mut intents = self.intents.lock().unwrap();
        if self.until == Some(kind) {
            self.cancel.cancel();
        }
        intents.push((kind, None));
        Ok((intents.len() - 1).to_string())
    }

    fn made(&self, intent: &str, id: &str) -> Result<()> {
        let place: usize = intent.parse().unwrap();
        self.intents.lock().unwrap()[place].1 = Some(id.to_owned());
        Ok(())
    }

    fn cancellation(&self) -> CancellationToken {
        self.cancel.clone()
    }
}

async fn plan(session: &Session, name: &str) -> Plan {
    Plan {
        deployment: lab::new_id(),
        name: name.to_owned(),
        count: 1,
        image: images::find(session, "lab-guest").await.unwrap(),
        need: Need::default(),
        flavor: None,
        network: NetworkChoice::Named("lab-net".to_owned()),
        floating: false,
        external: None,
        ports: vec![Port {
            number: 80,
            protocol: Protocol::Tcp,
        }],
        key: None,
        user_data: None,
        zone: None,
    }
}

async fn nothing_is_left(session: &Session, deployment: &str) {
    let left = leftovers::find(session, Some(deployment)).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn servers_run_in_a_network_of_their_own_and_leave_nothing() {
    let Some(session) = lab::session("lab-demo").await else {
        return;
    };
    let mut plan = plan(&session, "several").await;
    plan.count = 3;
    plan.network = NetworkChoice::New;
    plan.floating = true;
    plan.key = Some(Key::Public(
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1ZbcUPiVJ0Wv0Yk5cdz6zM1rNxVh0Z4mJZr7Lr1sQe test"
            .to_owned(),
    ));
    plan.user_data = Some("#!/bin/sh\n".to_owned());
    let notes = Notes::default();
    let servers = deploy(&session, &plan, &notes).await.unwrap();
    assert_eq!(servers.len(), 3);
    let floating = network::floating_addresses(&session).await.unwrap();
    for it in &servers {
        assert_eq!(floating[&it.server.id], [it.floating.clone().unwrap()]);
        let server = &it.server;
        assert_eq!(
            (server.status.as_str(), server.deployment()),
            ("ACTIVE", Some(plan.deployment.as_str()))
        );
        assert_eq!(server.fixed_addresses().len(), 1);
    }
    // All that was made was written down before, and is found by its label.
    let mut kinds: Vec<_> = notes
        .intents
        .lock()
        .unwrap()
        .iter()
        .map(|(kind, id)| (*kind, id.clone().unwrap()))
        .collect();
    let mut found: Vec<_> = leftovers::find(&session, Some(&plan.deployment))
        .await
        .unwrap()
        .into_iter()
        .map(|it| (it.kind, it.id))
        .collect();
    kinds.sort();
    found.sort();
    assert_eq!(kinds, found);

    let one = &servers[0].server.id;
    compute::act(&session, one, Action::Stop).await.unwrap();
    let refused = compute::act(&session, one, Action::Pause).await;
    // Stopping may be done already, or still go on.
    assert!(
        matches!(refused, Err(Error::Refused { status: 409, .. })),
        "{refused:?}"
    );
    assert!(
        !compute::console_log(&session, &servers[1].server.id, Some(10))
            .await
            .unwrap()
            .is_empty()
    );

    let taken = take_back(&session, &plan.deployment, |_| ()).await.unwrap();
    assert_eq!(taken, found.len());
    nothing_is_left(&session, &plan.deployment).await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_words_before_anything_is_made() {
    let Some(session) = lab::session("lab-demo").await else {
        return;
    };
    let mut plan = plan(&session, "refused").await;
    let mut text = String::new();
    let mut tried = async |plan: &Plan| {
        let notes = Notes::default();
        let error = deploy(&session, plan, &notes).await.unwrap_err();
        text += &format!("{error}\n  {}\n", error.hint().unwrap_or_default());
        assert!(notes.intents.lock().unwrap().is_empty());
    };
    plan.need.memory_mib = 300;
    plan.flavor = Some("lab.nano".to_owned());
    tried(&plan).await;
    plan.flavor = Some("lab.none".to_owned());
    tried(&plan).await;
    plan.flavor = None;
    plan.need.disk_gib = 1000;
    tried(&plan).await;
    plan.need = Need::default();
    plan.count = 50;
    plan.flavor = Some("lab.nano".to_owned());
    plan.network = NetworkChoice::Named("no-net".to_owned());
    let quota = deploy(&session, &plan, &Notes::default())
        .await
        .unwrap_err();
    assert!(matches!(quota, Error::Quota { .. }), "{quota}");
    plan.count = 1;
    tried(&plan).await;
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn a_quota_of_one_server_and_one_network_is_kept_to() {
    let Some(session) = lab::session("lab-cramped").await else {
        return;
    };
    // The only network that there may be.
    let mut first = plan(&session, "first").await;
    first.network = NetworkChoice::New;
    deploy(&session, &first, &Notes::default()).await.unwrap();
    let mut second = plan(&session, "second").await;
    second.network = NetworkChoice::New;
    let error = deploy(&session, &second, &Notes::default())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Quota { .. }), "{error}");
    assert_eq!(
        take_back(&session, &second.deployment, |_| ())
            .await
            .unwrap(),
        0
    );
    take_back(&session, &first.deployment, |_| ())
        .await
        .unwrap();
    nothing_is_left(&session, &first.deployment).await;
}

#[tokio::test]
async fn a_deployment_that_is_cut_anywhere_is_taken_back() {
    let Some(session) = lab::session("lab-demo").await else {
        return;
    };
    for until in [Kind::Router, Kind::Server, Kind::Floating] {
        let mut plan = plan(&session, "cut").await;
        plan.network = NetworkChoice::New;
        plan.floating = true;
        let notes = Notes {
            until: Some(until),
            ..Notes::default()
        };
        let error = deploy(&session, &plan, &notes).await.unwrap_err();
        assert!(matches!(error, Error::Cancelled), "{error}");
        take_back(&session, &plan.deployment, |_| ()).await.unwrap();
        nothing_is_left(&session, &plan.deployment).await;
    }
}
