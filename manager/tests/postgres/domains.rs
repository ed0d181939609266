//! A domain leads to an app only when its owner has proven it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use manager::DomainProof;
use model::{AppEnv, Code, Hostname};

use crate::platform::{Platform, operator, shop};

/// TXT records that a test publishes.
#[derive(Default)]
struct Published(Mutex<BTreeSet<(String, String)>>);

#[async_trait]
impl DomainProof for Published {
    async fn has_txt(&self, name: &str, value: &str) -> bool {
        self.0.lock().expect("unpoisoned").contains(&(name.to_owned(), value.to_owned()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_is_proven_and_rests_after_it_was_given_up() {
    let platform = Platform::start().await;
    let dns = Arc::new(Published::default());
    platform.manager.set_domain_proof(dns.clone());
    let ada = platform.ada().await;
    let manager = &platform.manager;
    let bank: Hostname = "www.bank.com".parse().expect("a name");
    let leads = async || platform.live.routes().await.expect("routes").iter().any(|route| route.hostname == bank);

    let refused = manager.add_domain(&ada, &shop(), &bank).await.expect_err("it is not hers");
    assert_eq!(refused.code, Code::DomainUnproven, "{refused}");
    assert!(!leads().await, "an unproven domain leads to the app");
    let record = refused.evidence[0].clone();
    let value = record.strip_prefix("_slipway.www.bank.com. TXT \"").and_then(|rest| rest.strip_suffix('"')).expect("a record").to_owned();
    let again = manager.add_domain(&ada, &shop(), &bank).await.expect_err("still not");
    assert_eq!(again.evidence[0], record, "the token changed");

    dns.0.lock().expect("unpoisoned").insert(("_slipway.www.bank.com".into(), value));
    // The proof is one app's: another tenant has a token of its own.
    let mallory = "mallory".parse().expect("a name");
    manager.create_user(&operator(), &mallory, false).await.expect("a user");
    let (evil, web) = ("evil".parse().expect("a name"), "web".parse().expect("a name"));
    manager.create_tenant(&operator(), &evil, &web, &mallory).await.expect("a tenant");
    let trap: AppEnv = "evil/trap/dev".parse().expect("a path");
    let mallory = manager.identity(&mallory, "test").await.expect("a user");
    manager.create_app(&mallory, &trap.app_ref(), None).await.expect("an app");
    let refused = manager.add_domain(&mallory, &trap, &bank).await.expect_err("the token is another app's");
    assert_eq!(refused.code, Code::DomainUnproven);

    manager.add_domain(&ada, &shop(), &bank).await.expect("proven");
    assert!(leads().await, "a proven domain leads nowhere");
    manager.remove_domain(&ada, &shop(), &bank).await.expect("given up");
    let refused = manager.add_domain(&mallory, &trap, &bank).await.expect_err("it rests");
    assert_eq!(refused.code, Code::NameTaken, "{refused}");
    manager.add_domain(&ada, &shop(), &bank).await.expect("its last owner may have it again");
    for own in ["com", "0x7f000001"] {
        let refused = manager.add_domain(&operator(), &shop(), &own.parse().expect("a name")).await.expect_err("refused to everybody");
        assert_eq!(refused.code, Code::BadName, "{own}");
    }
    platform.stop().await;
}
