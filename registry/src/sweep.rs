//! The plan of a collection for one repository: what is kept, and what is removed. Pure.
//!
//! Roots are tags, pinned digests, and everything younger than the minimum age. What a root reaches is kept: members of an
//! index, referrers of kept manifests, blobs of kept manifests. The rest is removed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::Time;

use crate::digest::ContentDigest;
use crate::manifest::ManifestContents;

/// The contents of a repository at one moment.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    /// What its tags name.
    pub(crate) tagged: HashSet<ContentDigest>,
    /// Its manifests: when written, and what they point at.
    pub(crate) manifests: HashMap<ContentDigest, StoredManifestInfo>,
    /// Its blobs: when linked.
    pub(crate) links: HashMap<ContentDigest, Time>,
}

/// One manifest.
#[derive(Debug, Clone)]
pub(crate) struct StoredManifestInfo {
    pub(crate) written: Time,
    pub(crate) contents: Arc<ManifestContents>,
}

/// What is to be removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Removals {
    /// In the order of removal, an index before its members, so that a crash between two steps leaves no broken image.
    pub(crate) manifests: Vec<ContentDigest>,
    pub(crate) links: Vec<ContentDigest>,
}

/// The removals. Nothing written after `cutoff` is among them.
pub(crate) fn removals(inventory: &Inventory, pinned: &HashSet<ContentDigest>, cutoff: Time) -> Removals {
    let live = live(inventory, pinned, cutoff);
    let needed: HashSet<&ContentDigest> = live.iter().flat_map(|digest| inventory.manifests[*digest].contents.needs()).collect();
    let is_unneeded = |digest: &ContentDigest, written: Time| written <= cutoff && !needed.contains(digest) && !pinned.contains(digest);
    let links = inventory.links.iter().filter(|(digest, linked)| is_unneeded(digest, **linked)).map(|(digest, _)| *digest).collect();
    let dead: HashSet<ContentDigest> = inventory.manifests.keys().filter(|digest| !live.contains(digest)).copied().collect();
    Removals { manifests: indexes_first(inventory, dead), links }
}

fn live<'a>(inventory: &'a Inventory, pinned: &HashSet<ContentDigest>, cutoff: Time) -> HashSet<&'a ContentDigest> {
    let mut referrers: HashMap<&ContentDigest, Vec<&ContentDigest>> = HashMap::new();
    for (digest, info) in &inventory.manifests {
        if let Some(subject) = &info.contents.subject {
            referrers.entry(subject).or_default().push(digest);
        }
    }
    let is_root = |digest: &ContentDigest, info: &StoredManifestInfo| {
        inventory.tagged.contains(digest) || pinned.contains(digest) || info.written > cutoff
    };
    let roots = inventory.manifests.iter().filter(|(digest, info)| is_root(digest, info));
    let mut waiting: Vec<&ContentDigest> = roots.map(|(digest, _)| digest).collect();
    let mut live = HashSet::new();
    while let Some(digest) = waiting.pop() {
        let Some((digest, info)) = inventory.manifests.get_key_value(digest) else { continue };
        if live.insert(digest) {
            waiting.extend(info.contents.members.iter().map(|member| &member.digest));
            waiting.extend(referrers.get(digest).into_iter().flatten());
        }
    }
    live
}

/// Content addressing allows no circles, so every index comes before its members.
fn indexes_first(inventory: &Inventory, dead: HashSet<ContentDigest>) -> Vec<ContentDigest> {
    let members_of = |digest: &ContentDigest| {
        let members = inventory.manifests[digest].contents.members.iter().map(|member| member.digest);
        members.filter(|member| dead.contains(member)).collect::<Vec<_>>()
    };
    let mut pointed: HashMap<ContentDigest, usize> = dead.iter().map(|digest| (*digest, 0)).collect();
    for member in dead.iter().flat_map(members_of) {
        *pointed.entry(member).or_default() += 1;
    }
    let mut free: Vec<ContentDigest> = pointed.iter().filter(|(_, count)| **count == 0).map(|(digest, _)| *digest).collect();
    let mut ordered = Vec::with_capacity(dead.len());
    while let Some(digest) = free.pop() {
        ordered.push(digest);
        for member in members_of(&digest) {
            if let Some(count) = pointed.get_mut(&member) {
                *count -= 1;
                if *count == 0 {
                    free.push(member);
                }
            }
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Algorithm;
    use crate::manifest::ContentRef;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn digest(kind: &str, number: usize) -> ContentDigest {
        ContentDigest::of(Algorithm::Sha256, format!("{kind} {number}").as_bytes())
    }

    fn part(digest: ContentDigest) -> ContentRef {
        ContentRef { digest, size: 1 }
    }

    fn at(seconds: i64) -> Time {
        Time::from_timestamp(seconds, 0).expect("a small number of seconds")
    }

    const CUTOFF: i64 = 100;

    /// A repository of twenty manifests and thirty blobs; members and subjects only have lower numbers, as content demands.
    fn inventories() -> impl Strategy<Value = (Inventory, HashSet<ContentDigest>)> {
        let manifest = (vec(0usize..30, 0..4), vec(any::<usize>(), 0..3), proptest::option::of(any::<usize>()), 0i64..120);
        (vec(manifest, 20), vec(0usize..20, 0..4), vec(0usize..20, 0..3), vec(0i64..120, 30)).prop_map(
            |(manifests, tagged, pinned, links)| {
                let mut inventory = Inventory::default();
                for (number, (blobs, members, subject, written)) in manifests.into_iter().enumerate() {
                    let lower = |any: usize| (number > 0).then(|| digest("manifest", any % number.max(1)));
                    let contents = ManifestContents {
                        blobs: blobs.into_iter().map(|blob| part(digest("blob", blob))).collect(),
                        members: members.into_iter().filter_map(lower).map(part).collect(),
                        subject: subject.and_then(lower),
                    };
                    inventory
                        .manifests
                        .insert(digest("manifest", number), StoredManifestInfo { written: at(written), contents: Arc::new(contents) });
                }
                inventory.tagged = tagged.into_iter().map(|number| digest("manifest", number)).collect();
                inventory.links = links.into_iter().enumerate().map(|(number, linked)| (digest("blob", number), at(linked))).collect();
                (inventory, pinned.into_iter().map(|number| digest("manifest", number)).collect())
            },
        )
    }

    fn apply(inventory: &mut Inventory, removals: &Removals) {
        removals.manifests.iter().for_each(|digest| drop(inventory.manifests.remove(digest)));
        inventory.links.retain(|digest, _| !removals.links.contains(digest));
    }

    proptest! {
        #[test]
        fn what_is_needed_or_young_stays((inventory, pinned) in inventories()) {
            let removals = removals(&inventory, &pinned, at(CUTOFF));
            let gone: HashSet<_> = removals.manifests.iter().chain(&removals.links).copied().collect();
            for (digest, info) in &inventory.manifests {
                if inventory.tagged.contains(digest) || pinned.contains(digest) || info.written > at(CUTOFF) {
                    prop_assert!(!gone.contains(digest));
                }
                if !gone.contains(digest) {
                    for need in info.contents.needs() {
                        prop_assert!(!gone.contains(need), "a manifest that stays lost something");
                    }
                } else if let Some(subject) = &info.contents.subject {
                    prop_assert!(gone.contains(subject) || !inventory.manifests.contains_key(subject), "a referrer went before its subject");
                }
            }
            for (digest, linked) in &inventory.links {
                prop_assert!(*linked <= at(CUTOFF) || !gone.contains(digest));
            }
        }

        #[test]
        fn a_second_round_finds_nothing((mut inventory, pinned) in inventories()) {
            let first = removals(&inventory, &pinned, at(CUTOFF));
            apply(&mut inventory, &first);
            prop_assert_eq!(removals(&inventory, &pinned, at(CUTOFF)), Removals::default());
        }

        #[test]
        fn nothing_useless_and_old_stays((inventory, pinned) in inventories()) {
            let removals = removals(&inventory, &pinned, at(CUTOFF));
            let unrooted = Inventory { tagged: HashSet::new(), manifests: inventory.manifests, links: inventory.links };
            let all = super::removals(&unrooted, &HashSet::new(), at(1000));
            prop_assert_eq!(all.manifests.len(), unrooted.manifests.len());
            prop_assert_eq!(all.links.len(), unrooted.links.len());
            prop_assert!(removals.manifests.len() <= all.manifests.len());
        }

        #[test]
        fn an_index_goes_before_its_members((inventory, pinned) in inventories()) {
            let removals = removals(&inventory, &pinned, at(CUTOFF));
            for (place, digest) in removals.manifests.iter().enumerate() {
                for member in &inventory.manifests[digest].contents.members {
                    prop_assert!(!removals.manifests[..place].contains(&member.digest));
                }
            }
        }
    }
}
