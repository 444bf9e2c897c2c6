//! The life cycle of a shipment: scheduled as a letter or a parcel, then handed to the carrier.

use aury_events::{PublishError, prelude::*, publish};
use serde::{Deserialize, Serialize};

use crate::{
    ledger::Ledger,
    orders::OrderShipped,
    report::{Report, number},
    stock::StockReserved,
};

/// How many CDs fit into a letter.
const LETTER: u32 = 2;

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "shipping.scheduled")]
struct ShippingScheduled {
    #[event(key)]
    order_id: u64,
    cds: u32,
}

static LEDGER: Ledger<Shipping> = Ledger::new();

#[derive(Default)]
struct Shipping {
    letters: u64,
    parcels: u64,
    shipped: u64,
    cds: u64,
}

#[subscribe]
async fn schedule(stock: &StockReserved) -> Result<(), PublishError> {
    let &StockReserved { order_id, cds } = stock;
    if cds <= LETTER {
        LEDGER.open().letters += 1;
    } else {
        LEDGER.open().parcels += 1;
    }
    publish(ShippingScheduled { order_id, cds }).await?;
    Ok(())
}

#[subscribe]
async fn hand_over(shipment: &ShippingScheduled) -> Result<(), PublishError> {
    LEDGER.open().ship(shipment.cds);
    publish(OrderShipped { order_id: shipment.order_id }).await?;
    Ok(())
}

impl Shipping {
    fn ship(&mut self, cds: u32) {
        self.shipped += 1;
        self.cds += u64::from(cds);
    }
}

pub(crate) fn report(report: &mut Report<'_>) {
    let shipping = LEDGER.open();
    report.subscriber(
        concat!(module_path!(), "::schedule"),
        [number("letters", shipping.letters), number("parcels", shipping.parcels)],
    );
    report.subscriber(
        concat!(module_path!(), "::hand_over"),
        [number("shipped orders", shipping.shipped), number("CDs shipped", shipping.cds)],
    );
}
