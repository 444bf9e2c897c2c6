//! "Did you mean ...?"

/// The candidate that `word` is probably a misspelling of.
pub(crate) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .iter()
        .map(|candidate| (distance(&word, candidate), *candidate))
        .filter(|(distance, candidate)| distance * 2 <= word.len().min(candidate.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters have to be changed, added, removed or swapped with their neighbour to get from
/// one word to the other (the optimal string alignment distance).
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![(0..=to.len()).collect::<Vec<_>>()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let changed = usize::from(from[i - 1] != to[j - 1]);
            let mut best =
                (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + changed);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
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
