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
    let length = meant.chars().count();
    let bound = length / 3;
    // The distance is no less than the difference in length, and costs time as the product of the lengths.
    if misspelt.chars().count().abs_diff(length) > bound {
        return None;
    }
    Some(strsim::osa_distance(misspelt, meant)).filter(|distance| *distance <= bound)
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
