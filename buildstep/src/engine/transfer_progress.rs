//! `TransferProgress`: the bytes of all layers of an image that is pulled or pushed, out of the engine's reports on each. Pure.
//!
//! Nothing is reported until the size of every layer is known: a total that still grows would be a guess.

use std::collections::BTreeMap;

use model::Meter;

/// Receives how much of an image has been transferred.
pub type OnTransfer<'a> = &'a (dyn Fn(Meter) + Send + Sync);

/// What is known of the layers of one image.
#[derive(Debug, Default)]
pub struct TransferProgress {
    /// Of a pull, by the layer's id; none while its size is not known.
    layers: BTreeMap<String, Option<Part>>,
    /// Of a push, whose reports name no layer to us: a layer is known by its size.
    by_size: BTreeMap<u64, u64>,
    /// Layers that a push has announced.
    prepared: usize,
    /// Layers of a push that the registry had already.
    there: usize,
    /// Layers of a push that were uploaded.
    stored: usize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Part {
    total: u64,
    fetched: u64,
    unpacked: u64,
}

impl TransferProgress {
    /// A report on a layer that is pulled.
    pub fn pulled(&mut self, id: &str, status: &str, sizes: Option<(i64, i64)>) -> Option<Meter> {
        let sizes = sizes.and_then(|(current, total)| Some((u64::try_from(current).ok()?, u64::try_from(total).ok().filter(|n| *n > 0)?)));
        let known = self.layers.get(id).copied().flatten();
        match (status, sizes) {
            ("Pulling fs layer" | "Waiting", _) => drop(self.layers.entry(id.to_owned()).or_default()),
            ("Downloading", Some((current, total))) => {
                self.layers.insert(id.to_owned(), Some(Part { total, fetched: current.min(total), unpacked: 0 }));
            }
            ("Extracting", Some((current, total))) => {
                self.layers.insert(id.to_owned(), Some(Part { total, fetched: total, unpacked: current.min(total) }));
            }
            ("Verifying Checksum" | "Download complete", _) => {
                let part = known.unwrap_or_default();
                self.layers.insert(id.to_owned(), Some(Part { fetched: part.total, ..part }));
            }
            ("Already exists" | "Pull complete", _) => {
                let part = known.unwrap_or_default();
                self.layers.insert(id.to_owned(), Some(Part { total: part.total, fetched: part.total, unpacked: part.total }));
            }
            _ => return None,
        }
        let parts: Vec<Part> = self.layers.values().copied().collect::<Option<_>>()?;
        let total = parts.iter().map(|part| part.total).sum();
        let fetched: u64 = parts.iter().map(|part| part.fetched).sum();
        if total == 0 {
            return None;
        }
        Some(match fetched < total {
            true => Meter::bytes("pulling", fetched, total),
            false => Meter::bytes("unpacking", parts.iter().map(|part| part.unpacked).sum(), total),
        })
    }

    /// A report on a layer that is pushed.
    pub fn pushed(&mut self, status: &str, sizes: Option<(i64, i64)>) -> Option<Meter> {
        match (status, sizes) {
            ("Preparing", _) => self.prepared += 1,
            ("Layer already exists", _) => self.there += 1,
            (status, _) if status.starts_with("Mounted from ") => self.there += 1,
            ("Pushed", _) => self.stored += 1,
            // A layer of folders alone has no size, and none is told.
            ("Pushing", Some((current, total))) => {
                let (current, total) = (u64::try_from(current).ok()?, u64::try_from(total).ok()?);
                self.by_size.insert(total, current.min(total));
            }
            _ => return None,
        }
        let total = self.by_size.keys().sum();
        let all_known = self.by_size.len().max(self.stored) + self.there >= self.prepared;
        // The engine does not always report the last bytes of a layer; then its end says it.
        let done = if self.stored + self.there >= self.prepared { total } else { self.by_size.values().sum() };
        (all_known && total > 0).then(|| Meter::bytes("storing", done, total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_is_told_when_every_size_is_known() {
        let mut transfer = TransferProgress::default();
        assert_eq!(transfer.pulled("13", "Pulling from library/debian", None), None);
        for id in ["a", "b", "c"] {
            assert_eq!(transfer.pulled(id, "Pulling fs layer", None), None);
        }
        assert_eq!(transfer.pulled("c", "Already exists", None), None);
        assert_eq!(transfer.pulled("a", "Downloading", Some((10, 100))), None);
        assert_eq!(transfer.pulled("b", "Downloading", Some((5, 300))), Some(Meter::bytes("pulling", 15, 400)));
        assert_eq!(transfer.pulled("a", "Download complete", None), Some(Meter::bytes("pulling", 105, 400)));
        assert_eq!(transfer.pulled("a", "Extracting", Some((50, 100))), Some(Meter::bytes("pulling", 105, 400)));
        assert_eq!(transfer.pulled("b", "Download complete", None), Some(Meter::bytes("unpacking", 50, 400)));
        assert_eq!(transfer.pulled("a", "Pull complete", None), Some(Meter::bytes("unpacking", 100, 400)));
        assert_eq!(transfer.pulled("", "Digest: sha256:00", None), None);
    }

    #[test]
    fn a_push_is_told_when_every_size_is_known() {
        let mut transfer = TransferProgress::default();
        for _ in 0..4 {
            assert_eq!(transfer.pushed("Preparing", None), None);
        }
        assert_eq!(transfer.pushed("Pushing", Some((1_024, 0))), None);
        assert_eq!(transfer.pushed("Pushing", Some((1, 100))), None);
        assert_eq!(transfer.pushed("Layer already exists", None), None);
        assert_eq!(transfer.pushed("Pushing", Some((20, 300))), Some(Meter::bytes("storing", 21, 400)));
        // The engine counts the frame of a tar as well.
        assert_eq!(transfer.pushed("Pushing", Some((350, 300))), Some(Meter::bytes("storing", 301, 400)));
        assert_eq!(transfer.pushed("Pushed", None), Some(Meter::bytes("storing", 301, 400)));
        assert_eq!(transfer.pushed("Pushed", None), Some(Meter::bytes("storing", 301, 400)));
        assert_eq!(transfer.pushed("Pushed", None), Some(Meter::bytes("storing", 400, 400)));
        assert_eq!(transfer.pushed("latest: digest: sha256:00 size: 1", None), None);
    }
}
