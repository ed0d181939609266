//! Which refs deploy, seen from git's side.

use crate::harness::{TestServer, ok, run};

#[test]
fn one_branch_deploys_and_all_else_gets_the_exact_command() {
    let server = TestServer::start();
    let at = server.work("work");
    ok(server.git(&at, &["push", "-q", "paas-dev", "main"]));
    let first = server.head(&at);
    ok(server.git(&at, &["switch", "-q", "-c", "feature"]));
    server.commit(&at, "app.txt", b"two\n");
    ok(server.git(&at, &["tag", "-a", "-m", "one", "v1"]));

    let refused = |words: &[&str], wanted: &[&str]| {
        let (code, text) = run(server.git(&at, words));
        assert_ne!(code, Some(0), "{words:?}: {text}");
        for wanted in wanted {
            assert!(text.contains(wanted), "{words:?}: {wanted:?} is missing in {text}");
        }
        assert_eq!(server.branch("acme/shop/dev", "main").as_ref(), Some(&first), "{words:?} moved the ref");
    };
    refused(&["push", "paas-dev", "feature"], &["[SW-P101]", "→ git push paas-dev HEAD:main "]);
    refused(&["push", "paas-dev", "v1"], &["[SW-P103]", "git push paas-dev v1^{}:main"]);
    refused(&["push", "paas-dev", ":main"], &["[SW-P102]", "can not be deleted", "apps:destroy acme/shop --confirm shop"]);
    refused(&["push", "--follow-tags", "paas-dev", "feature:main"], &["[SW-P107]", "git push --no-follow-tags paas-dev main"]);
    refused(&["push", "paas-dev", "feature", "feature:other"], &["[SW-P107]"]);

    ok(server.git(&at, &["push", "-q", "paas-dev", "feature:main"]));
    assert_eq!(server.branch("acme/shop/dev", "main"), Some(server.head(&at)));
    assert_eq!(server.branch("acme/shop/dev", "feature"), None);
    // The rule is per environment.
    ok(server.git(&at, &["push", "-q", "paas-prod", "feature"]));
    assert_eq!(server.branch("acme/shop/prod", "feature"), Some(server.head(&at)));
}
