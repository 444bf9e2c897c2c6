//! "Did you mean ...?"

use strsim::osa_distance;

/// How many letters two forms of one word begin with, at least.
const STEM: usize = 4;

/// How many letters each of them ends with, at most.
const ENDING: usize = 4;

/// The candidate that `word` is probably a misspelling of, or another form of, as `retries` is of `retry`.
pub(crate) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let misspelt = candidates
        .iter()
        .map(|candidate| (osa_distance(&word, candidate), *candidate))
        .filter(|(distance, candidate)| distance * 2 <= word.len().min(candidate.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate);
    misspelt.or_else(|| {
        let forms = candidates.iter().filter(|candidate| are_forms_of_one(&word, candidate));
        forms.min_by_key(|candidate| candidate.len()).copied()
    })
}

fn are_forms_of_one(a: &str, b: &str) -> bool {
    let stem = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    stem >= STEM && a.len().max(b.len()) - stem <= ENDING
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
    fn another_form_of_a_word_is_recognised() {
        let options = ["retry_if", "retry", "concurrency", "ordered"];
        for (form, meant) in
            [("retries", "retry"), ("concurrent", "concurrency"), ("ordering", "ordered")]
        {
            assert_eq!(nearest(form, &options), Some(meant));
        }
    }

    #[test]
    fn a_different_word_is_not() {
        assert_eq!(nearest("topic", &["name", "version", "bus"]), None);
        assert_eq!(nearest("id", &["bus"]), None);
        assert_eq!(nearest("OrderCreated", &["ordered"]), None);
    }
}
