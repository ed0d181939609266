//! Stable codes: the one list of everything that can go wrong in front of a user.
//!
//! A code never changes its meaning and is never reused; `docs/errors/<code>.md` explains each, and a test compares the two.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// A stable code, the same in terminal, API, page and log.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)*
        }

        impl Code {
            /// Every code, in the order of this file.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code as users search for it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Code::$variant => $text,)*
                }
            }
        }
    };
}

codes! {
    /// The app does not exist, or the caller may not know of it.
    UnknownApp = "SW-A404",
    /// The caller may not do this.
    NotAllowed = "SW-A403",
    /// The caller is not signed in, or the token is not valid.
    NotSignedIn = "SW-A401",
    /// A name breaks the grammar.
    BadName = "SW-A400",
    /// A name or host name is taken.
    NameTaken = "SW-A409",
    /// Something other than an app does not exist.
    NotFound = "SW-A410",
    /// A request or an option can not be understood.
    BadRequest = "SW-A422",
    /// What was sent is larger than is read.
    TooLarge = "SW-A413",
    /// Too many tries in a short time.
    TooManyTries = "SW-A429",
    /// The environment is in use and can not be changed.
    InUse = "SW-A423",

    /// Nobody has proven yet that a domain is theirs.
    DomainUnproven = "SW-A424",

    /// The SSH key belongs to nobody.
    UnknownKey = "SW-K401",
    /// The key text is not a public key.
    BadKey = "SW-K400",
    /// The key belongs to another user.
    KeyTaken = "SW-K409",

    /// A branch that is not the deploy branch was pushed.
    WrongBranch = "SW-P101",
    /// A ref was to be deleted.
    RefDeleted = "SW-P102",
    /// A tag or another ref that is not a branch was pushed.
    NotABranch = "SW-P103",
    /// The pushing clone is shallow.
    ShallowClone = "SW-P104",
    /// The commit holds no files.
    EmptyRepository = "SW-P105",
    /// The push is larger than allowed.
    PushTooLarge = "SW-P106",
    /// Several refs were pushed at once.
    SeveralRefs = "SW-P107",
    /// The server stopped in the middle of the push.
    ServerStopped = "SW-P108",
    /// A newer push took the place of this one in the queue.
    Superseded = "SW-P109",
    /// Somebody cancelled the build.
    Cancelled = "SW-P110",
    /// The lock of the app is held.
    Locked = "SW-P111",
    /// The source uses a feature of git that is not supported.
    UnsupportedSource = "SW-P112",

    /// app.yaml, Procfile or a template can not be read.
    BadManifest = "SW-M100",

    /// No template fits the source.
    NoTemplate = "SW-B101",
    /// A wanted version is not available.
    VersionUnavailable = "SW-B102",
    /// The build script failed.
    BuildFailed = "SW-B103",
    /// The build hit its memory limit.
    BuildMemory = "SW-B104",
    /// The build hit its time limit.
    BuildTime = "SW-B105",
    /// The build hit its process limit.
    BuildProcesses = "SW-B106",
    /// The build hit its disk limit.
    BuildDisk = "SW-B107",
    /// The slug is too large.
    SlugTooLarge = "SW-B108",
    /// The source names no process to run.
    NoProcess = "SW-B109",
    /// The stack could not be made.
    StackUnavailable = "SW-B110",

    /// The app did not listen on `$PORT`.
    NotListening = "SW-R101",
    /// The app listened on another port or address.
    WrongPort = "SW-R102",
    /// The app exited while starting.
    CrashedAtStart = "SW-R103",
    /// The app answered its health check wrongly.
    Unhealthy = "SW-R104",
    /// The app ran out of memory.
    OutOfMemory = "SW-R105",
    /// The app keeps crashing and is restarted ever more slowly.
    Flapping = "SW-R106",
    /// No host has room.
    NoCapacity = "SW-R107",
    /// The image is not in the registry.
    ImageMissing = "SW-R108",
    /// The image could not be pulled.
    ImagePullFailed = "SW-R109",
    /// The rollout did not finish in time.
    RolloutTimeout = "SW-R110",
    /// There is no release to go back to.
    NoRelease = "SW-R111",
    /// The app wrote more to its own disk than it may.
    InstanceDisk = "SW-R112",

    /// No app has this host name.
    UnknownHost = "SW-H404",
    /// The request is malformed.
    BadHttp = "SW-H400",
    /// The client was too slow.
    ClientTimeout = "SW-H408",
    /// The request line or a header is too long.
    HeadTooLarge = "SW-H431",
    /// The app broke the connection or answered with nonsense.
    BadAnswer = "SW-H502",
    /// The app has no healthy instance.
    NoInstance = "SW-H503",
    /// The app did not answer in time.
    AnswerTimeout = "SW-H504",

    /// Docker can not be reached.
    EngineDown = "SW-S101",
    /// The database can not be reached.
    DatabaseDown = "SW-S102",
    /// The disk is full.
    DiskFull = "SW-S103",
    /// The registry can not be reached.
    RegistryDown = "SW-S104",
    /// Something in the platform itself failed.
    Internal = "SW-S500",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_codes_share_a_text() {
        let texts: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
    }
}
