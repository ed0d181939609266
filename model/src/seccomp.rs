//! The seccomp profile of every container that runs an app's code: builds, instances, one-offs.
//!
//! A list of what is allowed (`data/seccomp.json`, in the engine's own format), so that a call which a later kernel brings is closed
//! until it is looked at. It is sent with each container: the profile that an engine has by itself differs from version to version.
//! Calls of 32-bit programs are not in it, as their arguments can not be filtered: such programs do not run.

/// The profile, as the engine takes it behind `seccomp=`.
pub const PROFILE: &str = include_str!("../data/seccomp.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::PROFILE;

    #[test]
    fn what_is_not_listed_is_refused_and_nothing_dangerous_is_listed() {
        let profile: Value = serde_json::from_str(PROFILE).expect("JSON");
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
        let rules = profile["syscalls"].as_array().expect("rules");
        let names =
            |rule: &Value| rule["names"].as_array().expect("names").iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
        let allowed: Vec<&Value> = rules.iter().filter(|rule| rule["action"] == "SCMP_ACT_ALLOW").collect();
        let freely: Vec<String> = allowed.iter().filter(|rule| rule["args"].is_null()).flat_map(|rule| names(rule)).collect();
        assert_eq!(freely.len(), freely.iter().collect::<BTreeSet<_>>().len(), "a call is listed twice");
        for call in ["socket", "socketpair", "clone", "personality"] {
            assert!(!freely.contains(&call.to_owned()), "{call} is allowed whatever its arguments");
        }
        let listed: BTreeSet<String> = allowed.iter().flat_map(|rule| names(rule)).collect();
        for call in [
            "add_key",
            "bpf",
            "clone3",
            "delete_module",
            "fsopen",
            "init_module",
            "io_uring_setup",
            "kexec_load",
            "keyctl",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_by_handle_at",
            "open_tree",
            "perf_event_open",
            "pivot_root",
            "request_key",
            "setns",
            "socketcall",
            "swapon",
            "umount2",
            "unshare",
            "userfaultfd",
        ] {
            assert!(!listed.contains(call), "{call} is allowed");
        }
        for call in ["read", "execve", "futex", "clone", "socket", "epoll_pwait2", "inotify_init1", "rseq", "statx"] {
            assert!(listed.contains(call), "{call} is refused, and programs need it");
        }
    }
}
