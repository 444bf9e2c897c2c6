//! A CD shop: its orders, payments, stock, shipping and users as chains of events.
//!
//! ```text
//! order.created ─► payment.captured ─► order.paid ─► stock.reserved ─► shipping.scheduled ─► order.shipped
//!       │      └─► payment.declined ─► order.cancelled  │      └─► stock.low
//!       └─► user.registered                             └─► user.promoted
//! ```
//!
//! This file reads orders and publishes `order.created` for each. It knows no subscriber: the modules of the life cycles
//! hold those, and the rest of the chain is theirs. Which of them run, `EVENT_SUBSCRIBERS` says: with a backend between
//! processes, one that only publishes and several that do the work, each started with `--work`.
//!
//! ```text
//! cargo run --example shop -- --help
//! ```

mod input;
mod ledger;
mod orders;
mod payments;
mod progress;
mod report;
mod shipping;
mod stock;
mod users;
mod values;

use std::{
    error::Error,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use tracing_subscriber::filter::LevelFilter;

use crate::{input::Input, progress::Progress, report::Report, values::counted};

const USAGE: &str = "\
Runs the orders of a CD shop through its event chains, and shows what every subscriber did.

Usage: shop [FILE | - | --work]

  FILE    orders, one a line: customer, sample, date (YYYYMMDD), number of CDs, amount in dollars;
          without it, the purchases that come with the example
  -       orders from standard input
  --work  no orders: runs the subscribers on what other processes publish, until standard input ends

A malformed line is reported and skipped. EVENT_* variables configure the bus.
";

#[tokio::main]
async fn main() -> ExitCode {
    // What the framework has to say, of a misspelt variable or a failed subscriber, it says in the log.
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_ansi(false)
        .without_time()
        .with_writer(progress::stderr)
        .init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&*error);
            ExitCode::FAILURE
        }
    }
}

/// What this process does.
enum Task {
    Publish(Input),
    Work,
}

/// Publishes all orders or waits for those of others, lets the subscribers finish, and shows what they did.
async fn run() -> Result<(), Box<dyn Error>> {
    let Some(task) = chosen_task()? else {
        return print(USAGE);
    };
    let events = aury_events::init_from_env().await?;
    let done = match task {
        Task::Publish(mut input) => publish_orders(&mut input).await,
        Task::Work => work().await,
    };

    // What was published is handled, however long that takes: shutdown has a limit of time, this has none.
    events.default_bus().settled().await;
    let dead_letters = events.default_bus().dead_letters().list().await?;
    events.shutdown().await?;
    let done = done?;

    let mut report = Report::new(&events.catalogue().subscribers);
    orders::report(&mut report);
    payments::report(&mut report);
    stock::report(&mut report);
    shipping::report(&mut report);
    users::report(&mut report);
    print(&format!("{done}\n\n{report}"))?;
    match dead_letters.len() as u64 {
        0 => Ok(()),
        letters => Err(format!("{}: the log says why", counted(letters, "dead letter")).into()),
    }
}

/// What the arguments ask for; nothing when it is help.
fn chosen_task() -> Result<Option<Task>, Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let input = match &arguments[..] {
        [] => Input::purchases()?,
        [help] if help == "--help" || help == "-h" => return Ok(None),
        [work] if work == "--work" => return Ok(Some(Task::Work)),
        [stdin] if stdin == "-" => Input::stdin(),
        [file] if !file.as_encoded_bytes().starts_with(b"-") => Input::file(Path::new(file))?,
        _ => return Err(format!("cannot understand these arguments\n\n{USAGE}").into()),
    };
    Ok(Some(Task::Publish(input)))
}

/// Leaves the thread to the subscribers until standard input ends, and gives a word about it for the report.
async fn work() -> Result<String, Box<dyn Error>> {
    let _ = writeln!(progress::stderr(), "working until standard input ends");
    tokio::task::spawn_blocking(|| io::copy(&mut io::stdin().lock(), &mut io::sink())).await??;
    Ok("worked until standard input ended".to_owned())
}

/// Publishes an event for each order, and gives a word about it for the report.
///
/// Reading blocks this thread, and no other: subscribers run on those of the runtime.
async fn publish_orders(input: &mut Input) -> Result<String, Box<dyn Error>> {
    let mut progress = Progress::new();
    let (mut published, mut skipped) = (0, 0);
    while let Some(order) = input.next()? {
        match order {
            Ok(order) => {
                aury_events::publish(order).await?;
                published += 1;
            }
            Err(malformed) => {
                complain(&malformed);
                skipped += 1;
            }
        }
        progress.show(input.done(), published);
    }
    progress.finish(published);
    let (orders, lines) = (counted(published, "order"), counted(skipped, "malformed line"));
    Ok(format!("{}: {orders} published, {lines} skipped", input.name()))
}

/// Writes to stdout. That its reader has seen enough, as `head` has, is not an error.
fn print(text: &str) -> Result<(), Box<dyn Error>> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes an error and its causes to stderr.
fn complain(error: &dyn Error) {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    // There is nobody else to tell if this fails.
    let _ = writeln!(progress::stderr(), "{text}");
}
