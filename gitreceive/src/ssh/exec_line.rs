//! The exec line: the command that an SSH client sends, read by one pure, strict parser.
//!
//! Owns the splitting into words and the grammar of repository paths. Nothing here expands, globs or substitutes, and nothing
//! that is accepted is ever given to a shell: git gets one checked path, verbs get their words as an argument vector.
//!
//! The splitting is not that of the crate `shlex`, which takes control characters and comments, and knows no limit.

use model::name::InvalidName;
use model::{AppName, EnvName, TenantName};

/// Longest accepted line, in bytes.
pub const MAX_LINE: usize = 16 * 1024;
/// Most words of a line.
pub const MAX_WORDS: usize = 256;

/// Which of git's services a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// `git-receive-pack`: a push.
    Receive,
    /// `git-upload-pack`: a clone or fetch.
    Upload,
}

/// A repository as written in a remote URL: `acme/shop/dev`, or `shop/dev` where the platform can tell the tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoPath {
    /// The first of three parts; `None` in the short form.
    pub tenant: Option<TenantName>,
    /// The part before the environment.
    pub app: AppName,
    /// The last part, without `.git`.
    pub env: EnvName,
}

/// A parsed exec line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecLine {
    /// One of git's two services over one repository.
    Git {
        /// Push or fetch.
        service: Service,
        /// The repository that the remote URL names.
        path: RepoPath,
    },
    /// A verb of the platform and its arguments, never empty.
    Verb(Vec<String>),
}

/// Why a line is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecLineError {
    /// Nothing, or only blanks.
    #[error("the command is empty")]
    Empty,
    /// More bytes or words than any command has.
    #[error("the command is too long")]
    TooLong,
    /// Bytes that are no text.
    #[error("the command is not UTF-8 text, or it holds control characters")]
    NotText,
    /// A quote without its partner, or a backslash at the end.
    #[error("a quote in the command is not closed")]
    OpenQuote,
    /// A service of git that does not exist here.
    #[error("git offers only `receive-pack` and `upload-pack` here")]
    UnknownService,
    /// A git service with options, with several paths, or with none.
    #[error("git takes exactly one repository path here")]
    NotOnePath,
    /// Not `tenant/app/env` and not `app/env`.
    #[error("the repository path must be tenant/app/env or app/env")]
    BadPath,
    /// A part of the path breaks the grammar of names.
    #[error("{0}")]
    BadName(InvalidName),
}

impl From<InvalidName> for ExecLineError {
    fn from(error: InvalidName) -> Self {
        Self::BadName(error)
    }
}

/// Reads an exec line.
pub fn parse(line: &[u8]) -> Result<ExecLine, ExecLineError> {
    let words = words(line)?;
    let texts: Vec<&str> = words.iter().map(String::as_str).collect();
    let (service, paths) = match texts.as_slice() {
        [] => return Err(ExecLineError::Empty),
        ["git-receive-pack", rest @ ..] | ["git", "receive-pack", rest @ ..] => (Service::Receive, rest),
        ["git-upload-pack", rest @ ..] | ["git", "upload-pack", rest @ ..] => (Service::Upload, rest),
        ["git", ..] => return Err(ExecLineError::UnknownService),
        [first, ..] if first.starts_with("git-") => return Err(ExecLineError::UnknownService),
        _ => return Ok(ExecLine::Verb(words)),
    };
    match paths {
        [path] => Ok(ExecLine::Git { service, path: repo_path(path)? }),
        _ => Err(ExecLineError::NotOnePath),
    }
}

/// Reads `[/]tenant/app/env[.git]` or `[/]app/env[.git]`.
pub fn repo_path(text: &str) -> Result<RepoPath, ExecLineError> {
    let text = text.strip_prefix('/').unwrap_or(text);
    let text = text.strip_suffix(".git").unwrap_or(text);
    match text.split('/').collect::<Vec<_>>().as_slice() {
        [tenant, app, env] => Ok(RepoPath { tenant: Some(TenantName::new(*tenant)?), app: AppName::new(*app)?, env: EnvName::new(*env)? }),
        [app, env] => Ok(RepoPath { tenant: None, app: AppName::new(*app)?, env: EnvName::new(*env)? }),
        _ => Err(ExecLineError::BadPath),
    }
}

/// Splits a line into words by the quoting rules of a POSIX shell. A newline or a tab may stand inside quotes (values of
/// settings), no other control character anywhere.
fn words(line: &[u8]) -> Result<Vec<String>, ExecLineError> {
    if line.len() > MAX_LINE {
        return Err(ExecLineError::TooLong);
    }
    let text = std::str::from_utf8(line).map_err(|_| ExecLineError::NotText)?;
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let in_quotes = quote.is_some();
        if letter.is_control() && !(letter == '\t' || (letter == '\n' && in_quotes)) {
            return Err(ExecLineError::NotText);
        }
        match (quote, letter) {
            (Some(open), close) if open == close => quote = None,
            (Some('\''), literal) => word.get_or_insert_default().push(literal),
            (Some(_), '\\') => {
                let next = letters.next().ok_or(ExecLineError::OpenQuote)?;
                let word = word.get_or_insert_default();
                if !matches!(next, '"' | '\\' | '$' | '`') {
                    word.push('\\');
                }
                word.push(printable(next)?);
            }
            (Some(_), literal) => word.get_or_insert_default().push(literal),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '\\') => {
                let next = letters.next().ok_or(ExecLineError::OpenQuote)?;
                word.get_or_insert_default().push(printable(next)?);
            }
            (None, ' ' | '\t') => words.extend(word.take()),
            (None, literal) => word.get_or_insert_default().push(literal),
        }
        if words.len() > MAX_WORDS {
            return Err(ExecLineError::TooLong);
        }
    }
    if quote.is_some() {
        return Err(ExecLineError::OpenQuote);
    }
    words.extend(word);
    if words.len() > MAX_WORDS {
        return Err(ExecLineError::TooLong);
    }
    Ok(words)
}

/// A character after a backslash: anything but a control character.
fn printable(letter: char) -> Result<char, ExecLineError> {
    if letter.is_control() { Err(ExecLineError::NotText) } else { Ok(letter) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verb(line: &str) -> Vec<String> {
        match parse(line.as_bytes()) {
            Ok(ExecLine::Verb(words)) => words,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn path(line: &str) -> String {
        match parse(line.as_bytes()) {
            Ok(ExecLine::Git { service, path }) => {
                let tenant = path.tenant.map(|t| format!("{t}/")).unwrap_or_default();
                format!("{service:?} {tenant}{}/{}", path.app, path.env)
            }
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn git_as_git_sends_it() {
        assert_eq!(path("git-receive-pack '/acme/shop/dev'"), "Receive acme/shop/dev");
        assert_eq!(path("git-receive-pack 'acme/shop/dev.git'"), "Receive acme/shop/dev");
        assert_eq!(path("git receive-pack 'shop/dev'"), "Receive shop/dev");
        assert_eq!(path("git-upload-pack acme/shop/prod"), "Upload acme/shop/prod");
        assert_eq!(path("git upload-pack \"/acme/shop/prod\""), "Upload acme/shop/prod");
    }

    #[test]
    fn everything_else_of_git_is_refused() {
        let refused = |line: &str| parse(line.as_bytes()).expect_err(line);
        assert_eq!(refused("git-upload-archive 'a/b/c'"), ExecLineError::UnknownService);
        assert_eq!(refused("git clone x"), ExecLineError::UnknownService);
        assert_eq!(refused("git"), ExecLineError::UnknownService);
        assert_eq!(refused("git-receive-pack"), ExecLineError::NotOnePath);
        assert_eq!(refused("git-receive-pack 'a/b/c'; x"), ExecLineError::NotOnePath);
        assert_eq!(refused("git-upload-pack --strict 'a/b/c'"), ExecLineError::NotOnePath);
        for hostile in [
            "git-receive-pack '../b/c'",
            "git-receive-pack '//a/b/c'",
            "git-receive-pack 'acme/shop/dev/'",
            "git-receive-pack 'acme/shop/dev/extra'",
            "git-receive-pack 'shop'",
            "git-receive-pack ''",
            "git-receive-pack '-oProxyCommand=x/y'",
            "git-receive-pack 'acme/$(id)/dev'",
            "git-receive-pack 'acme/shop/dev;id'",
            "git-receive-pack 'acme/SHOP/dev'",
            "git-receive-pack 'acme/shop\\/dev'",
            "git-receive-pack 'acme/shop/dev",
            "git-receive-pack acme/shop/dev\0",
            "git-receive-pack 'acme/shop\ndev'",
        ] {
            assert!(parse(hostile.as_bytes()).is_err(), "{hostile}");
        }
    }

    #[test]
    fn verbs_are_words() {
        assert_eq!(verb("apps"), ["apps"]);
        assert_eq!(verb("  logs -a shop   -t "), ["logs", "-a", "shop", "-t"]);
        assert_eq!(verb("run -a shop -- bash -c 'echo \"hi\"; id'"), ["run", "-a", "shop", "--", "bash", "-c", "echo \"hi\"; id"]);
        assert_eq!(verb(r#"config set A="x y" B=\'"#), ["config", "set", "A=x y", "B='"]);
        assert_eq!(verb("config set A='$(id) `id` ${HOME}'"), ["config", "set", "A=$(id) `id` ${HOME}"]);
        assert_eq!(verb("echo ''"), ["echo", ""]);
        assert_eq!(verb("config set A='two\nlines'"), ["config", "set", "A=two\nlines"]);
        assert_eq!(parse(b"   "), Err(ExecLineError::Empty));
        assert_eq!(parse(b"a\nb"), Err(ExecLineError::NotText));
        assert_eq!(parse(b"\xff"), Err(ExecLineError::NotText));
        assert_eq!(parse(b"say \x1b[31m"), Err(ExecLineError::NotText));
        assert_eq!(parse(b"a 'b"), Err(ExecLineError::OpenQuote));
        assert_eq!(parse(b"a \\"), Err(ExecLineError::OpenQuote));
        assert_eq!(parse(&vec![b'a'; MAX_LINE + 1]), Err(ExecLineError::TooLong));
        assert_eq!(parse("a ".repeat(MAX_WORDS + 1).as_bytes()), Err(ExecLineError::TooLong));
    }

    /// Quotes as git does before it sends a path.
    fn quoted(text: &str) -> String {
        format!("'{}'", text.replace('\'', r"'\''").replace('!', r"'\!'"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn no_bytes_make_it_panic_and_no_path_escapes(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(ExecLine::Git { path, .. }) = parse(&line) {
                for part in [path.app.as_str(), path.env.as_str()] {
                    prop_assert!(part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
                }
            }
        }

        #[test]
        fn near_misses_of_git_lines_never_carry_more_than_names(
            line in r#"git[- ](receive|upload)-pack ?['" ]?[a-z/.;$()`' "\\-]{0,24}['"]?"#,
        ) {
            if let Ok(ExecLine::Git { path, .. }) = parse(line.as_bytes()) {
                prop_assert!(!path.app.as_str().contains(['/', '.', ';', '$', '`', '\'', '"', ' ', '\\']));
            }
        }

        #[test]
        fn what_is_quoted_comes_back_as_one_word(words in proptest::collection::vec("[^\\p{C}]{0,20}", 1..8)) {
            prop_assume!(!words[0].starts_with("git") && !words.iter().any(|w| w.contains(char::is_control)));
            let line = words.iter().map(|w| quoted(w)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(parse(line.as_bytes()), Ok(ExecLine::Verb(words)));
        }
    }
}
