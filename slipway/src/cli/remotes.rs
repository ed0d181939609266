//! Git remotes of the current folder: which app this is, and adding the two remotes.

use std::process::Command;

use model::AppEnv;

/// A remote that leads to a Slipway server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    pub name: String,
    pub app: AppEnv,
    /// `ssh://paas@host:2222`
    pub server: String,
}

/// Reads the output of `git remote -v`.
pub fn parse(text: &str) -> Vec<Remote> {
    let mut remotes = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(name), Some(url)) = (words.next(), words.next()) else { continue };
        let Some(rest) = url.strip_prefix("ssh://") else { continue };
        let Some((server, path)) = rest.split_once('/') else { continue };
        let Ok(app) = path.trim_end_matches(".git").parse::<AppEnv>() else { continue };
        let remote = Remote { name: name.to_owned(), app, server: format!("ssh://{server}") };
        if !remotes.contains(&remote) {
            remotes.push(remote);
        }
    }
    remotes
}

/// The remotes of the repository around the current folder.
pub fn here() -> Vec<Remote> {
    match Command::new("git").args(["remote", "-v"]).output() {
        Ok(output) if output.status.success() => parse(&String::from_utf8_lossy(&output.stdout)),
        _ => Vec::new(),
    }
}

/// Chooses by remote name or environment; without either, `paas-dev` or the only one.
pub fn choose<'a>(remotes: &'a [Remote], name: Option<&str>, env: Option<&str>) -> Option<&'a Remote> {
    match (name, env) {
        (Some(name), _) => remotes.iter().find(|remote| remote.name == name),
        (None, Some(env)) => remotes.iter().find(|remote| remote.app.env.as_str() == env),
        (None, None) => remotes.iter().find(|remote| remote.name == "paas-dev").or(remotes.first()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_of_a_server_are_recognised() {
        let text = "origin\thttps://example.com/a/b (fetch)\npaas-dev\tssh://paas@localhost:2222/acme/shop/dev (fetch)\npaas-dev\tssh://paas@localhost:2222/acme/shop/dev (push)\npaas-prod\tssh://paas@localhost:2222/acme/shop/prod.git (push)\n";
        let remotes = parse(text);
        assert_eq!(remotes.len(), 2);
        assert_eq!(choose(&remotes, None, None).expect("dev").app.to_string(), "acme/shop/dev");
        assert_eq!(choose(&remotes, None, Some("prod")).expect("prod").name, "paas-prod");
        assert_eq!(choose(&remotes, Some("nope"), None), None);
    }
}
