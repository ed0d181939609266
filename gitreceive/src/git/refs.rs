//! The rules of refs: which pushes deploy, and why all others are refused. Pure.
//!
//! One branch of an environment deploys; the first one pushed becomes it and stays. Nothing else is ever stored, so that what
//! git holds is exactly what was deployed.

use std::fmt;

use model::{AppEnv, Code, UserError};

/// A commit as git names it: 40 or 64 hex digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(String);

impl CommitId {
    /// Parses an object name; `None` when it is not one.
    pub fn new(text: &str) -> Option<Self> {
        let fits = matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        fits.then(|| Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first ten digits, for messages.
    pub fn short(&self) -> &str {
        &self.0[..10]
    }

    fn is_zero(&self) -> bool {
        self.0.bytes().all(|b| b == b'0')
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A branch, without `refs/heads/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BranchName(String);

impl BranchName {
    /// Longest accepted name, in bytes.
    pub const MAX: usize = 200;

    /// Checks a branch name. It is stricter than git: it must be text that can stand in a terminal and in a URL.
    pub fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty()
            && text.len() <= Self::MAX
            && !text.starts_with(['-', '/', '.'])
            && !text.ends_with(['/', '.'])
            && !text.contains("..")
            && !text.contains("//")
            && !text.contains("/.")
            && !text.ends_with(".lock")
            && text.chars().all(|c| !c.is_control() && !c.is_whitespace() && !"~^:?*[\\\u{fffd}".contains(c));
        fits.then(|| Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A ref update as git gives it to a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    /// The full name, `refs/heads/main`.
    pub name: String,
    /// The value before; `None` when the ref is new.
    pub old: Option<CommitId>,
    /// The value after; `None` when the ref is deleted.
    pub new: Option<CommitId>,
}

impl RefUpdate {
    /// Reads `<old> <new> <name>`.
    pub fn parse(line: &str) -> Option<Self> {
        let mut parts = line.splitn(3, ' ');
        let mut value = || CommitId::new(parts.next()?);
        let (old, new) = (value()?, value()?);
        let present = |id: CommitId| (!id.is_zero()).then_some(id);
        Some(Self { name: parts.next()?.to_owned(), old: present(old), new: present(new) })
    }
}

/// A push that deploys: the branch moves from one commit to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The deploy branch of the environment.
    pub branch: BranchName,
    /// Its commit before the push; `None` on the first push.
    pub old: Option<CommitId>,
    /// Its commit after the push.
    pub new: CommitId,
}

/// Decides whether these updates are a deploy. `deploys` is the deploy branch, when one was ever pushed.
pub fn check(updates: &[RefUpdate], deploys: Option<&BranchName>, to: &AppEnv) -> Result<Change, UserError> {
    let remote = format!("paas-{}", to.env);
    let main = deploys.map_or("main", BranchName::as_str);
    let [update] = updates else {
        let names: Vec<String> = updates.iter().take(10).map(|u| shown(&u.name)).collect();
        let followed = updates.iter().any(|u| u.name.starts_with("refs/tags/"));
        let flag = if followed { "--no-follow-tags " } else { "" };
        return Err(UserError::new(
            Code::SeveralRefs,
            format!("{} refs were pushed at once; a push to {to} deploys one branch", updates.len()),
        )
        .evidence_lines(names)
        .next(format!("git push {flag}{remote} {}", quoted(main))));
    };
    let Some(branch) = update.name.strip_prefix("refs/heads/") else {
        let kind = if update.name.starts_with("refs/tags/") { "a tag" } else { "not a branch" };
        return Err(UserError::new(Code::NotABranch, format!("`{}` is {kind}; only a branch deploys", shown(&update.name)))
            .why(format!("{to} deploys `{main}`. Nothing was changed."))
            .next(deploy_tag(&update.name, &remote, main)));
    };
    let Some(new) = &update.new else {
        let what = match deploys {
            Some(deploys) if deploys.as_str() == branch => format!("`{branch}` is the deploy branch of {to} and can not be deleted"),
            _ => format!("`{}` is not stored here, so there is nothing to delete", shown(branch)),
        };
        return Err(UserError::new(Code::RefDeleted, what).why("The app and its releases are as before.").next(format!(
            "to remove the app: slipway apps:destroy {} --confirm {}",
            to.app_ref(),
            to.app
        )));
    };
    let Some(branch) = BranchName::new(branch) else {
        return Err(UserError::new(Code::WrongBranch, format!("`{}` can not be a deploy branch", shown(branch)))
            .why("Its name is too long, or it holds characters that can not stand in a URL.")
            .next(format!("git push {remote} {}", quoted(&format!("HEAD:{main}")))));
    };
    match deploys {
        Some(deploys) if *deploys != branch => {
            Err(UserError::new(Code::WrongBranch, format!("`{branch}` is not the deploy branch of {to}"))
                .why(format!("{to} deploys `{deploys}`. Nothing was built, and nothing was changed."))
                // Which branch of the clone it was is not known here: `main:feature` looks like `feature`.
                .next(format!("git push {remote} {}   # deploys what is checked out", quoted(&format!("HEAD:{deploys}")))))
        }
        _ => Ok(Change { branch, old: update.old.clone(), new: new.clone() }),
    }
}

fn deploy_tag(name: &str, remote: &str, main: &str) -> String {
    match name.strip_prefix("refs/tags/").and_then(BranchName::new) {
        Some(tag) => format!("to deploy it: git push {remote} {}", quoted(&format!("{tag}^{{}}:{main}"))),
        None => format!("git push {remote} {}", quoted(main)),
    }
}

/// A word of a command that users copy into their shell: the names come from the pusher and may hold shell syntax.
fn quoted(word: &str) -> String {
    let plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:@+^{}".contains(&b));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// A name as part of a sentence: shortened, without control characters.
fn shown(name: &str) -> String {
    let short: String = name.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if name.chars().count() > 80 { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ZERO: &str = "0000000000000000000000000000000000000000";
    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn update(old: &str, new: &str, name: &str) -> RefUpdate {
        RefUpdate::parse(&format!("{old} {new} {name}")).expect("a line as git writes it")
    }

    fn to() -> AppEnv {
        "acme/shop/dev".parse().expect("a path")
    }

    fn refused(updates: &[RefUpdate], deploys: Option<&str>) -> (Code, String, Vec<String>) {
        let deploys = deploys.and_then(BranchName::new);
        let user_error = check(updates, deploys.as_ref(), &to()).expect_err("a refusal");
        (user_error.code, user_error.what, user_error.next)
    }

    #[test]
    fn the_first_branch_sticks_and_others_get_the_exact_command() {
        let first = check(&[update(ZERO, A, "refs/heads/trunk")], None, &to()).expect("the first branch");
        assert_eq!((first.branch.as_str(), first.old, first.new.as_str()), ("trunk", None, A));
        let again = check(&[update(A, B, "refs/heads/trunk")], BranchName::new("trunk").as_ref(), &to()).expect("the same branch");
        assert_eq!(again.old.expect("a value before").as_str(), A);
        let (code, what, next) = refused(&[update(ZERO, A, "refs/heads/feature/x")], Some("trunk"));
        assert_eq!(code, Code::WrongBranch);
        assert_eq!(what, "`feature/x` is not the deploy branch of acme/shop/dev");
        assert_eq!(next, ["git push paas-dev HEAD:trunk   # deploys what is checked out"]);
        let (.., next) = refused(&[update(ZERO, A, "refs/heads/main")], Some("$(id)"));
        assert_eq!(next, ["git push paas-dev 'HEAD:$(id)'   # deploys what is checked out"]);
        let (.., next) = refused(&[update(ZERO, A, "refs/tags/a'b")], Some("main"));
        assert_eq!(next, [r"to deploy it: git push paas-dev 'a'\''b^{}:main'"]);
    }

    #[test]
    fn tags_deletes_and_several_refs_are_refused() {
        let (code, _, next) = refused(&[update(ZERO, A, "refs/tags/v1")], Some("main"));
        assert_eq!((code, next), (Code::NotABranch, vec!["to deploy it: git push paas-dev v1^{}:main".to_owned()]));
        let (code, ..) = refused(&[update(ZERO, A, "refs/notes/commits")], None);
        assert_eq!(code, Code::NotABranch);
        let (.., next) = refused(&[update(A, ZERO, "refs/heads/main")], Some("main"));
        assert_eq!(next, ["to remove the app: slipway apps:destroy acme/shop --confirm shop"]);
        let (code, what, _) = refused(&[update(A, ZERO, "refs/heads/main")], Some("main"));
        assert_eq!((code, what.as_str()), (Code::RefDeleted, "`main` is the deploy branch of acme/shop/dev and can not be deleted"));
        let (code, ..) = refused(&[update(A, ZERO, "refs/heads/other")], Some("main"));
        assert_eq!(code, Code::RefDeleted);
        let both = [update(ZERO, A, "refs/heads/main"), update(ZERO, A, "refs/tags/v1")];
        let (code, _, next) = refused(&both, Some("main"));
        assert_eq!((code, next), (Code::SeveralRefs, vec!["git push --no-follow-tags paas-dev main".to_owned()]));
        assert_eq!(refused(&[], None).0, Code::SeveralRefs);
    }

    proptest! {
        #[test]
        fn only_one_branch_ever_passes(
            names in proptest::collection::vec("(refs/(heads|tags|x)/)?\\PC{0,12}", 0..4),
            deploys in proptest::option::of("[a-z]{1,3}"),
            zero in any::<bool>(),
        ) {
            let updates: Vec<_> = names.iter().map(|n| update(A, if zero { ZERO } else { B }, n)).collect();
            let deploys = deploys.as_deref().and_then(BranchName::new);
            if let Ok(change) = check(&updates, deploys.as_ref(), &to()) {
                prop_assert_eq!(updates.len(), 1);
                prop_assert!(!zero);
                prop_assert_eq!(&updates[0].name, &format!("refs/heads/{}", change.branch));
                prop_assert!(deploys.is_none_or(|d| d == change.branch));
            }
        }

        #[test]
        fn no_refusal_writes_to_the_terminal(name in "\\PC{0,300}|[\\x00-\\x1f]{0,9}") {
            if let Err(user_error) = check(&[RefUpdate { name, old: None, new: CommitId::new(A) }], None, &to()) {
                prop_assert!(!user_error.to_string().contains('\x1b'));
            }
        }
    }
}
