//! How alike two words are.

/// What was probably meant, of the words that there are.
pub(crate) fn nearest<'a>(
    misspelt: &str,
    words: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let alike = words.into_iter().filter_map(|word| Some((distance(misspelt, word)?, word)));
    alike.min().map(|(_, word)| word)
}

/// How far a misspelling is from what was meant; none if they are not alike.
///
/// Counted in letters to change, add, remove or swap with their neighbour (the optimal string alignment distance), of
/// which a third of the word may be wrong.
pub(super) fn distance(misspelt: &str, meant: &str) -> Option<usize> {
    let (from, to): (Vec<char>, Vec<char>) = (misspelt.chars().collect(), meant.chars().collect());
    let bound = to.len() / 3;
    if from.len().abs_diff(to.len()) > bound {
        return None;
    }
    // The row `i` holds the distances from the first `i` letters of the one to every beginning of the other.
    let mut rows = vec![(0..=to.len()).collect::<Vec<_>>()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let changed = usize::from(from[i - 1] != to[j - 1]);
            let mut least =
                (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + changed);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    Some(rows[from.len()][to.len()]).filter(|distance| *distance <= bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_counts_one() {
        for (misspelt, meant) in [
            ("BACKND", "BACKEND"),
            ("BACKENDD", "BACKEND"),
            ("BACKEMD", "BACKEND"),
            ("BACKEDN", "BACKEND"),
            ("ULR", "URL"),
        ] {
            assert_eq!(distance(misspelt, meant), Some(1), "{misspelt}");
        }
        assert_eq!(distance("URL", "URL"), Some(0));
    }

    #[test]
    fn the_nearest_of_all_words_is_meant() {
        let backends = ["memory", "rabbitmq", "redis", "redis-streams"];
        assert_eq!(nearest("rabitmq", backends), Some("rabbitmq"));
        assert_eq!(nearest("redis-stream", backends), Some("redis-streams"));
        assert_eq!(nearest("nats", backends), None);
    }

    #[test]
    fn another_word_is_not_alike() {
        for (misspelt, meant) in [("ID", "URL"), ("PORT", "FORMAT"), ("", "URL"), ("TYPE", "URL")] {
            assert_eq!(distance(misspelt, meant), None, "{misspelt}");
        }
        assert_eq!(distance(&"X".repeat(1_000_000), "BACKEND"), None);
    }
}
