//! The command line before and after clap: `topic:verb` in two, and a line that can not be understood as a failure
//! like all others. Pure.

use std::ffi::OsString;

use clap::Parser;
use clap::error::ErrorKind;
use model::{Code, UserError};

use super::args::Cli;

/// A line that can not be read.
pub struct Unread {
    /// What clap says of it.
    pub error: clap::Error,
    /// Whether JSON is wanted of the failure.
    pub json: bool,
}

/// Reads the command line of this process.
pub fn parse(words: Vec<OsString>) -> Result<Cli, Unread> {
    let words = split_colon(words);
    let json = wants_json(&words);
    Cli::try_parse_from(words).map_err(|error| Unread { error, json })
}

/// Splits `topic:verb` into two words; `config:set A=b:c` keeps its other words.
pub fn split_colon(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut out = Vec::new();
    let mut looking = true;
    let mut value_follows = false;
    for (index, word) in words.into_iter().enumerate() {
        let text = word.to_str().map(str::to_owned);
        match text {
            Some(text) if looking && index > 0 && !value_follows && !text.starts_with('-') => {
                looking = false;
                match text.split_once(':') {
                    Some((topic, verb)) if !topic.is_empty() && !verb.is_empty() => {
                        out.push(topic.into());
                        out.push(verb.into());
                    }
                    _ => out.push(word),
                }
            }
            Some(text) => {
                value_follows = looking && matches!(text.as_str(), "--server" | "--config");
                out.push(word);
            }
            None => out.push(word),
        }
    }
    out
}

/// Whether JSON is wanted, of a line that clap could not read. Words behind `--` belong to a command.
pub fn wants_json(words: &[OsString]) -> bool {
    words.iter().take_while(|word| *word != "--").any(|word| word == "--json")
}

/// What clap says to a line that it can not read, as a failure. None when it only was asked for help, or shows it instead.
pub fn misread(error: &clap::Error) -> Option<UserError> {
    if !error.use_stderr() {
        return None;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Some(UserError::new(Code::BadRequest, "a verb is missing").next("slipway help"));
    }
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n");
    let head: Vec<&str> = paragraphs.next().unwrap_or_default().lines().map(str::trim).collect();
    let head = head.join(" ");
    let mut user_error = UserError::new(Code::BadRequest, head.strip_prefix("error: ").unwrap_or(&head));
    for line in paragraphs.flat_map(str::lines).map(str::trim) {
        if let Some(tip) = line.strip_prefix("tip: ") {
            user_error = user_error.evidence(tip);
        } else if let Some(usage) = line.strip_prefix("Usage: ") {
            user_error = user_error.next(usage);
        }
    }
    Some(user_error.next("slipway help"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn walk(command: &clap::Command, path: &str, empty: &mut Vec<String>) {
        if command.get_about().is_none() {
            empty.push(path.to_owned());
        }
        for argument in command.get_arguments() {
            if argument.get_help().is_none_or(|help| help.to_string().trim().is_empty()) {
                empty.push(format!("{path} {}", argument.get_id()));
            }
        }
        for verb in command.get_subcommands() {
            walk(verb, &format!("{path} {}", verb.get_name()), empty);
        }
    }

    #[test]
    fn every_argument_of_every_verb_is_described() {
        let mut command = Cli::command();
        command.build();
        let mut empty = Vec::new();
        walk(&command, "slipway", &mut empty);
        // What clap makes itself has the words of clap.
        empty.retain(|path| !path.contains(" help"));
        assert!(empty.is_empty(), "without a description: {empty:#?}");
        assert!(command.render_help().to_string().contains("apps:create"), "the form with a colon is told");
    }

    #[test]
    fn what_can_not_be_read_is_a_failure_with_a_code() {
        let told = |line: &str| misread(&Cli::try_parse_from(split_colon(words(line))).expect_err(line)).expect("a failure");
        let unknown = told("slipway --json frob");
        assert_eq!((unknown.code, unknown.what.as_str()), (Code::BadRequest, "unrecognized subcommand 'frob'"));
        let missing = told("slipway --json ps:scale");
        assert_eq!(missing.what, "the following required arguments were not provided: <TYPE=COUNT>...");
        assert!(missing.next[0].starts_with("slipway ps scale "), "{missing:?}");
        assert!(told("slipway members:set acme web ada king").what.contains("[possible values: viewer, deployer, operator, owner]"));
        let lines = told("slipway logs -n -5").what;
        assert_eq!(lines, "invalid value '-5' for '--lines <LINES>': a whole number, 0 or more, is expected");
        assert_eq!(told("slipway").what, "a verb is missing");
        assert!(misread(&Cli::try_parse_from(words("slipway --help")).expect_err("help")).is_none());
        assert!(wants_json(&words("slipway ps:scale --json")) && !wants_json(&words("slipway run -- x --json")));
    }

    #[test]
    fn colon_and_space_are_the_same() {
        let split = |text: &str| split_colon(words(text)).iter().map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
        assert_eq!(split("slipway apps:create shop"), "slipway apps create shop");
        assert_eq!(split("slipway --server http://x:1 ps:scale web=2"), "slipway --server http://x:1 ps scale web=2");
        assert_eq!(split("slipway config:set A=b:c"), "slipway config set A=b:c");
        assert_eq!(split("slipway run -- a:b"), "slipway run -- a:b");
        assert!(Cli::try_parse_from(split_colon(words("slipway ps:scale web=2 -a acme/shop"))).is_ok());
        assert!(Cli::try_parse_from(split_colon(words("slipway ps -a acme/shop scale web=2"))).is_ok());
    }
}
