//! The life cycle of the stock: reserved for orders, low, delivered anew.

use aury_events::{PublishError, prelude::*, publish};
use serde::{Deserialize, Serialize};

use crate::{
    ledger::Ledger,
    orders::OrderPaid,
    report::{Report, fact, number},
    values::grouped,
};

/// How many CDs the warehouse holds. It is full at first.
const CAPACITY: u64 = 1_000;
/// With fewer CDs than this the stock is low.
const LOW: u64 = 100;

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "stock.reserved")]
pub(crate) struct StockReserved {
    #[event(key)]
    pub(crate) order_id: u64,
    pub(crate) cds: u32,
}

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "stock.low")]
struct StockLow {
    left: u64,
}

static LEDGER: Ledger<Stock> = Ledger::new();

struct Stock {
    in_stock: u64,
    reserved: u64,
    deliveries: u64,
    warnings: u64,
    fewest: Option<u64>,
}

impl Default for Stock {
    fn default() -> Self {
        Self { in_stock: CAPACITY, reserved: 0, deliveries: 0, warnings: 0, fewest: None }
    }
}

#[subscribe]
async fn reserve(order: &OrderPaid) -> Result<(), PublishError> {
    let low = LEDGER.open().reserve(order.cds.into());
    publish(StockReserved { order_id: order.order_id, cds: order.cds }).await?;
    if let Some(left) = low {
        publish(StockLow { left }).await?;
    }
    Ok(())
}

impl Stock {
    /// Takes CDs out of the stock, after a delivery if there are too few. Gives what is left when this makes it low.
    fn reserve(&mut self, cds: u64) -> Option<u64> {
        if self.in_stock < cds {
            self.in_stock = CAPACITY.max(cds);
            self.deliveries += 1;
        }
        let was_low = self.in_stock < LOW;
        self.in_stock -= cds;
        self.reserved += cds;
        (self.in_stock < LOW && !was_low).then_some(self.in_stock)
    }
}

#[subscribe]
async fn warn(stock: &StockLow) {
    let mut ledger = LEDGER.open();
    ledger.warnings += 1;
    ledger.fewest = Some(ledger.fewest.map_or(stock.left, |fewest| fewest.min(stock.left)));
}

pub(crate) fn report(report: &mut Report<'_>) {
    let stock = LEDGER.open();
    report.subscriber(
        concat!(module_path!(), "::reserve"),
        [
            number("CDs reserved", stock.reserved),
            number("deliveries", stock.deliveries),
            number("CDs in stock", stock.in_stock),
        ],
    );
    report.subscriber(
        concat!(module_path!(), "::warn"),
        [
            number("stock warnings", stock.warnings),
            fact("fewest CDs left", stock.fewest.map_or("none".to_owned(), grouped)),
        ],
    );
}
