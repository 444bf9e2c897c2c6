//! What becomes of a message that comes in: it is handed out, moved to the suspects, or a dead letter.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use lapin::message::Delivery;

use super::{
    acks::Key,
    inbox::{Intake, TakenIn, Waiting},
    message::{DeliveryHeaders, Message, delivery_headers},
    mover::{Move, Mover, Otherwise},
    session::{Lane, Session},
    topology::Topology,
};
use crate::{
    DeadLetterReason,
    config::ExchangeType,
    envelope::{Envelope, EventName, Topic},
    error::WithCauses,
    kit::lock,
};

/// How many names of events that come by former bindings are remembered.
const WARNED: usize = 256;

/// Takes in the messages of one subscription.
pub(super) struct TakingIn {
    pub(super) topology: Arc<Topology>,
    pub(super) mover: Arc<Mover>,
    pub(super) topic: Topic,
    /// The names of the events that come by former bindings, as far as that has been said.
    pub(super) warned: Mutex<HashSet<String>>,
}

impl TakingIn {
    /// Takes in a delivery of a channel.
    pub(super) fn take(&self, session: &Arc<Session>, delivery: Delivery) {
        let delivery = Arc::new(delivery);
        match self.mover.messages.read(&delivery) {
            Ok(envelope) => self.take_event(session, delivery, envelope),
            Err(error) => {
                session.acks.opened(None, Arc::clone(&delivery));
                session.inbox.accept();
                let reason = format!("the message is no event: {}", WithCauses(&error));
                self.put_away(session, &delivery, &reason);
            }
        }
    }

    fn take_event(&self, session: &Arc<Session>, delivery: Arc<Delivery>, envelope: Envelope) {
        let Session { acks, inbox, lane, .. } = &**session;
        let headers = delivery_headers(&delivery);
        let (tag, again) = (delivery.delivery_tag, delivery.redelivered);
        let key = Key::new(envelope.metadata().id(), headers.copy, &delivery.data);
        acks.opened(Some(key.clone()), Arc::clone(&delivery));
        if inbox.intake() >= Intake::Abandoned {
            acks.give_back(tag);
            return;
        }
        if *lane == Lane::Main && !self.is_wanted(&delivery, envelope.metadata().name()) {
            return self.turn_down(session, &delivery, envelope.metadata().name());
        }
        let waiting = Waiting {
            envelope,
            attempt: headers.attempt,
            tag,
            due: None,
            key: Some(key),
            session: Arc::clone(session),
        };
        match inbox.take_in(waiting, again) {
            TakenIn::Kept => {}
            TakenIn::Settled => drop(acks.settle(tag)),
            TakenIn::Suspect(waiting) => self.suspect(waiting, &delivery, headers),
        }
    }

    /// Moves a message to the suspects.
    fn suspect(&self, waiting: Waiting, delivery: &Delivery, headers: DeliveryHeaders) {
        let (session, tag) = (Arc::clone(&waiting.session), waiting.tag);
        session.inbox.accept();
        // A process that dies while it moves the message leaves both: they have one number, and so the same marks.
        let number = waiting.key.as_ref().map_or(0, Key::number);
        let message = Message::received(delivery).known_as(waiting.envelope.metadata()).suspect(
            headers,
            number,
            &self.mover.queues.suspects,
        );
        let otherwise = Otherwise::HandOut(waiting);
        self.mover.hand_over(Move { session, tag, message, otherwise, reply: None });
    }

    /// Makes a dead letter of a suspect over which so many processes have died.
    pub(super) fn condemn(&self, session: &Arc<Session>, tag: u64, times: u32) {
        let Some(waiting) = session.inbox.condemned(tag) else { return };
        let Some(delivery) = session.acks.message(tag) else { return };
        let reason = DeadLetterReason::Interrupted { times }.to_string();
        tracing::error!(
            bus = &*self.mover.bus,
            subscriber = &*self.mover.subscriber,
            event = %waiting.envelope.metadata().name(),
            event_id = %waiting.envelope.metadata().id(),
            "{reason}; it is kept as a dead letter"
        );
        let message = Message::received(&delivery).known_as(waiting.envelope.metadata());
        self.dead_letter(session, tag, message, &reason, waiting.attempt);
    }

    /// Turns down an event that the subscriber does not listen to.
    fn turn_down(&self, session: &Arc<Session>, delivery: &Delivery, name: &EventName) {
        if self.topology.exchange_type() == ExchangeType::Fanout {
            // An exchange of that type sends everything to everybody.
            session.acks.settle(delivery.delivery_tag);
            return;
        }
        session.inbox.accept();
        let queue = &session.queue;
        let reason = format!(
            "the subscriber does not listen to {name}, but to {}: its queue is bound for it from former times",
            self.topic
        );
        let mut warned = lock(&self.warned);
        if warned.len() < WARNED && warned.insert(name.to_string()) {
            tracing::warn!(
                bus = &*self.mover.bus,
                subscriber = &*self.mover.subscriber,
                event = %name,
                %queue,
                "{reason}. Such events are kept as dead letters. When no process needs the binding any more, remove it \
                 from the queue, as with `rabbitmqadmin delete binding` or in the management interface"
            );
        }
        drop(warned);
        self.dead_letter(session, delivery.delivery_tag, Message::received(delivery), &reason, 0);
    }

    /// Makes a dead letter of a message that is no event.
    fn put_away(&self, session: &Arc<Session>, delivery: &Delivery, reason: &str) {
        tracing::error!(
            bus = &*self.mover.bus,
            subscriber = &*self.mover.subscriber,
            event = %delivery.routing_key,
            queue = %session.queue,
            "{reason}; it is kept as a dead letter"
        );
        let attempts = delivery_headers(delivery).attempt;
        let message = Message::received(delivery);
        self.dead_letter(session, delivery.delivery_tag, message, reason, attempts);
    }

    /// Has a message moved to the dead letters of the subscriber, after so many attempts.
    fn dead_letter(
        &self,
        session: &Arc<Session>,
        tag: u64,
        message: Message,
        reason: &str,
        attempts: u32,
    ) {
        let message = self.mover.dead_letter(message, reason, attempts);
        let (session, otherwise) = (Arc::clone(session), Otherwise::Reject);
        self.mover.hand_over(Move { session, tag, message, otherwise, reply: None });
    }

    /// Whether a message is one that the subscriber listens to. Others reach its queue by a `fanout` exchange, or by a
    /// binding of former times.
    fn is_wanted(&self, delivery: &Delivery, name: &EventName) -> bool {
        let came_by_exchange = delivery.exchange == self.topology.names.exchange;
        let is_routed = self.topology.exchange_type() != ExchangeType::Fanout;
        !came_by_exchange
            || self.topic.matches(name)
            || is_routed && is_named(&self.topic, delivery.routing_key.as_str())
    }
}

/// Whether a routing key is the name of an event of the topic.
fn is_named(topic: &Topic, routing_key: &str) -> bool {
    EventName::parse(routing_key).is_ok_and(|name| topic.matches(&name))
}
