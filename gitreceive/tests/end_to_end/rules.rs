//! Which refs deploy, seen from git's side.

use crate::harness::{House, ok, run};

#[test]
fn one_branch_deploys_and_all_else_gets_the_exact_command() {
    let house = House::start();
    let at = house.work("work");
    ok(house.git(&at, &["push", "-q", "paas-dev", "main"]));
    let first = house.head(&at);
    ok(house.git(&at, &["switch", "-q", "-c", "feature"]));
    house.commit(&at, "app.txt", b"two\n");
    ok(house.git(&at, &["tag", "-a", "-m", "one", "v1"]));

    let refused = |words: &[&str], wanted: &[&str]| {
        let (code, text) = run(house.git(&at, words));
        assert_ne!(code, Some(0), "{words:?}: {text}");
        for wanted in wanted {
            assert!(text.contains(wanted), "{words:?}: {wanted:?} is missing in {text}");
        }
        assert_eq!(house.branch("acme/shop/dev", "main").as_ref(), Some(&first), "{words:?} moved the ref");
    };
    refused(&["push", "paas-dev", "feature"], &["[SW-P101]", "→ git push paas-dev HEAD:main "]);
    refused(&["push", "paas-dev", "v1"], &["[SW-P103]", "git push paas-dev v1^{}:main"]);
    refused(&["push", "paas-dev", ":main"], &["[SW-P102]", "can not be deleted", "apps:destroy acme/shop --confirm shop"]);
    refused(&["push", "--follow-tags", "paas-dev", "feature:main"], &["[SW-P107]", "git push --no-follow-tags paas-dev main"]);
    refused(&["push", "paas-dev", "feature", "feature:other"], &["[SW-P107]"]);

    ok(house.git(&at, &["push", "-q", "paas-dev", "feature:main"]));
    assert_eq!(house.branch("acme/shop/dev", "main"), Some(house.head(&at)));
    assert_eq!(house.branch("acme/shop/dev", "feature"), None);
    // The rule is per environment.
    ok(house.git(&at, &["push", "-q", "paas-prod", "feature"]));
    assert_eq!(house.branch("acme/shop/prod", "feature"), Some(house.head(&at)));
}
