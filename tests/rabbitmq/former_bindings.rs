//! Events that reach a queue by a binding of former times are dead letters that say why.

use aury_events::{QueueType, prelude::*};
use lapin::{options::QueueBindOptions, types::FieldTable};
use serde::{Deserialize, Serialize};

use crate::{
    brokers::{Amqp, RabbitServer},
    support::{Log, Place, SOON, eventually},
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "former.placed")]
struct Placed {
    number: u32,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "former.created")]
struct Created {
    number: u32,
}

const MAIL: &str = "former.mail";

#[subscribe(name = "former.mail")]
async fn mail(order: &Placed, State(log): State<Log>) {
    log.add(format!("placed {}", order.number));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rabbitmq-server; tests/run installs it"]
async fn events_of_a_former_binding_are_dead_letters_that_say_why() {
    for queue_type in [QueueType::Quorum, QueueType::Classic] {
        let server = RabbitServer::shared();
        let place = Place::at(server.url());
        let log = Log::default();
        let process = place.process_as(MAIL, place.config().queue_type(queue_type));
        let events = process.state(log.clone()).start().await.unwrap();
        let bus = events.default_bus();
        // As it was when the subscriber listened to another event.
        let amqp = Amqp::connect(&server.url()).await;
        let (queue, exchange, key) = (place.queue(MAIL), place.name.clone(), "former.created");
        let binding = amqp.channel().queue_bind(
            queue.into(),
            exchange.into(),
            key.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        binding.await.unwrap();
        for number in 0..5 {
            bus.publish(Created { number }).await.unwrap();
            bus.publish(Placed { number }).await.unwrap();
        }
        log.reaches(5).await;
        let dead = place.dead(MAIL);
        eventually("they are kept", SOON, async || amqp.count(&dead).await == 5).await;
        let letters = bus.dead_letters().of(MAIL).list().await.unwrap();
        for letter in &letters {
            assert!(letter.reason.contains("does not listen to former.created"), "{letter:?}");
            assert_eq!(letter.envelope.metadata().name().as_str(), "former.created");
        }
        assert_eq!(log.entries().len(), 5);
        events.shutdown().await.unwrap();
    }
}
