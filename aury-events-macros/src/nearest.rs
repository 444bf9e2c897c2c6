//! "Did you mean ...?"

use strsim::osa_distance;

/// The candidate that `word` is probably a misspelling of.
pub(crate) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .iter()
        .map(|candidate| (osa_distance(&word, candidate), *candidate))
        .filter(|(distance, candidate)| distance * 2 <= word.len().min(candidate.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        let options = ["name", "version", "bus", "crate"];
        for (slip, meant) in
            [("nmae", "name"), ("Name", "name"), ("verison", "version"), ("buss", "bus")]
        {
            assert_eq!(nearest(slip, &options), Some(meant));
        }
    }

    #[test]
    fn a_different_word_is_not() {
        assert_eq!(nearest("topic", &["name", "version", "bus"]), None);
        assert_eq!(nearest("id", &["bus"]), None);
    }
}
