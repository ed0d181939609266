//! The nearest of some names: for "did you mean" and for misspelt file names.

/// The name that `text` was most likely meant to be, when one is near enough.
pub fn nearest<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = text.to_lowercase();
    names
        .into_iter()
        .filter(|name| *name != text)
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= allowance(name))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Short names allow one slip, longer ones two.
fn allowance(name: &str) -> usize {
    match name.len() {
        0..4 => 0,
        4..8 => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let names = ["requirements.txt", "package.json", "go.mod", "Procfile"];
        assert_eq!(nearest("requirments.txt", names), Some("requirements.txt"));
        assert_eq!(nearest("procfile", names), Some("Procfile"));
        assert_eq!(nearest("Package.json", names), Some("package.json"));
        assert_eq!(nearest("README.md", names), None);
        assert_eq!(nearest("go.mod", names), None);
    }
}
