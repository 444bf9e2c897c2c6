//! Orders as text, one a line: customer, sample, date, number of CDs, amount.

use std::{
    error::Error,
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use crate::{
    orders::OrderCreated,
    values::{NotADate, NotMoney, counted, whole},
};

/// The longest line that is read: a file without line ends is not to fill the memory.
const LONGEST_LINE: u64 = 4096;

/// Where orders are read from.
pub(crate) struct Input {
    name: String,
    source: Box<dyn BufRead>,
    /// In bytes; unknown of a pipe.
    length: Option<u64>,
    /// In bytes.
    read: u64,
    /// The number of the latest line.
    line: u64,
    buffer: Vec<u8>,
}

impl Input {
    pub(crate) fn stdin() -> Self {
        Self::new("stdin".to_owned(), Box::new(io::stdin().lock()), None)
    }

    pub(crate) fn file(path: &Path) -> Result<Self, Unreadable> {
        Self::open(path, path)
    }

    /// The purchases that come with the example.
    pub(crate) fn purchases() -> Result<Self, Unreadable> {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/data/purchases.txt"));
        let here = std::env::current_dir().unwrap_or_default();
        Self::open(path, path.strip_prefix(here).unwrap_or(path))
    }

    fn open(path: &Path, name: &Path) -> Result<Self, Unreadable> {
        let name = name.display().to_string();
        let length = |file: &File| {
            let metadata = file.metadata().ok()?;
            metadata.is_file().then_some(metadata.len())
        };
        match File::open(path) {
            Ok(file) => {
                let length = length(&file);
                Ok(Self::new(name, Box::new(BufReader::new(file)), length))
            }
            Err(source) => Err(Unreadable { input: name, source }),
        }
    }

    fn new(name: String, source: Box<dyn BufRead>, length: Option<u64>) -> Self {
        Self { name, source, length, read: 0, line: 0, buffer: Vec::new() }
    }

    /// What it is called in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How much of it has been read, from 0 to 1, where that is known.
    pub(crate) fn done(&self) -> Option<f64> {
        self.length.map(|length| (self.read as f64 / length.max(1) as f64).min(1.0))
    }

    /// The order on the next line that is not blank; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Result<OrderCreated, Malformed>>, Unreadable> {
        loop {
            let length = self
                .read_line()
                .map_err(|source| Unreadable { input: self.name.clone(), source })?;
            self.line += 1;
            self.read += length;
            let order = match &self.buffer[..] {
                [] => return Ok(None),
                blank if blank.trim_ascii().is_empty() => continue,
                line if length > line.len() as u64 => Err(Reason::TooLong),
                line => parse(self.line, line),
            };
            let (input, line) = (self.name.clone(), self.line);
            return Ok(Some(order.map_err(|reason| Malformed { input, line, reason })));
        }
    }

    /// Puts the next line into the buffer, as much of it as that may hold. Gives its length.
    fn read_line(&mut self) -> io::Result<u64> {
        self.buffer.clear();
        let mut source = self.source.by_ref().take(LONGEST_LINE);
        let length = source.read_until(b'\n', &mut self.buffer)? as u64;
        let is_cut = length == LONGEST_LINE && !self.buffer.ends_with(b"\n");
        Ok(if is_cut { length + self.source.skip_until(b'\n')? as u64 } else { length })
    }
}

/// Reads an order. Its id is the number of its line, so that it can be found again.
fn parse(line: u64, bytes: &[u8]) -> Result<OrderCreated, Reason> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Reason::NotText { at: error.valid_up_to() + 1 })?;
    // Some editors begin a file with a byte order mark.
    let text = if line == 1 { text.trim_start_matches('\u{feff}') } else { text };
    let fields: Vec<_> = text.split_ascii_whitespace().collect();
    let &[customer, _sample, date, cds, amount] = &fields[..] else {
        return Err(Reason::Fields { found: fields.len() });
    };
    Ok(OrderCreated {
        order_id: line,
        customer: customer.to_owned(),
        date: date.parse().map_err(|error| Reason::Date(shown(date), error))?,
        cds: whole(cds).filter(|cds| *cds > 0).ok_or_else(|| Reason::Cds(shown(cds)))?,
        amount: amount.parse().map_err(|error| Reason::Amount(shown(amount), error))?,
    })
}

/// A field as it can be shown anywhere: shortened, and with nothing that a terminal would act upon.
fn shown(field: &str) -> String {
    const ENOUGH: usize = 24;
    let short: String = field.chars().take(ENOUGH).collect();
    if short == field { format!("{field:?}") } else { format!("{short:?}…") }
}

/// Reading failed.
#[derive(Debug)]
pub(crate) struct Unreadable {
    input: String,
    source: io::Error,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read {}", self.input)
    }
}

impl Error for Unreadable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// A line that is not an order.
#[derive(Debug)]
pub(crate) struct Malformed {
    input: String,
    line: u64,
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    TooLong,
    NotText { at: usize },
    Fields { found: usize },
    Date(String, NotADate),
    Cds(String),
    Amount(String, NotMoney),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.input, self.line)?;
        match &self.reason {
            Reason::TooLong => write!(f, "the line is longer than {LONGEST_LINE} bytes"),
            Reason::NotText { at } => write!(f, "byte {at} of the line is not UTF-8"),
            Reason::Fields { found } => write!(
                f,
                "the line has {}, not 5: customer, sample, date, number of CDs, amount",
                counted(*found as u64, "field")
            ),
            Reason::Date(field, error) => write!(f, "the date {field} {error}"),
            Reason::Cds(field) => {
                write!(f, "the number of CDs {field} is not a whole number from 1 to {}", u32::MAX)
            }
            Reason::Amount(field, error) => write!(f, "the amount {field} {error}"),
        }
    }
}

impl Error for Malformed {}
