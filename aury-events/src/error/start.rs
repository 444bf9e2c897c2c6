//! Buses that did not start.

use std::fmt;

use super::Problem;

/// Why the buses did not start: every problem that was found, not only the first.
pub struct StartError {
    problems: Vec<Problem>,
}

impl StartError {
    /// The error for these problems; `Ok` when there are none.
    pub(crate) fn unless_none(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }

    /// The problems.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problems[..] {
            [problem] => write!(f, "the event buses cannot start: {problem}"),
            problems => {
                write!(f, "the event buses cannot start, for {} reasons:", problems.len())?;
                for (number, problem) in (1..).zip(problems) {
                    write!(f, "\n  {number}. {problem}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for StartError {}
