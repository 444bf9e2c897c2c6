//! The list of checks, and the macro that makes a test of each.

/// Makes a test of every check of the [conformance suite](crate::conformance), in one module per subject.
///
/// The expression gives a [`Subject`](crate::conformance::Subject); it is evaluated for each check, inside a tokio
/// runtime. In the long form, attributes go to every test. And where starting a server takes long, checks can share
/// one, apart from those of `outages`, which break it: `faults = …` gives these a subject of their own.
///
/// ```ignore
/// conformance_tests!(Nats::start());
///
/// conformance_tests! {
///     #[ignore = "needs nats-server"]
///     subject = Nats::shared(),
///     faults = Nats::start()
/// }
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($(#[$attribute:meta])* subject = $subject:expr $(,)?) => {
        $crate::conformance_tests! { $(#[$attribute])* subject = $subject, faults = $subject }
    };
    ($(#[$attribute:meta])* subject = $subject:expr, faults = $breakable:expr $(,)?) => {
        $crate::__conformance_checks! {
            [$crate::__conformance_modules] [$(#[$attribute])*] [$subject] [$breakable]
        }
    };
    ($subject:expr $(,)?) => {
        $crate::conformance_tests! { subject = $subject }
    };
}

/// Hands the list of all checks to another macro, after arguments for it.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_checks {
    ([$($macro:tt)*] $($arguments:tt)*) => {
        $($macro)*! {
            $($arguments)*
            delivery {
                an_event_reaches_its_subscriber_once
                a_new_subscriber_gets_what_is_published_from_now_on
                an_event_published_next_after_subscribing_is_not_missed
                an_event_reaches_only_those_who_listen_to_its_name
                every_event_of_many_publishers_reaches_every_subscriber_once
                many_events_published_at_once_are_answered_one_by_one
                a_subscriber_that_is_stuck_holds_back_no_other
                as_many_deliveries_are_open_as_are_handled_at_a_time
                what_is_published_while_nobody_runs_waits_for_the_subscriber
                what_is_not_settled_is_in_flight
                health_lists_the_subscriptions
            }
            order {
                events_of_one_publisher_arrive_in_order
                events_published_at_once_arrive_in_order
            }
            sharing {
                processes_of_one_service_share_the_work
                without_shared_work_every_process_gets_every_event
                every_service_gets_every_event
                a_broadcast_reaches_every_process
            }
            takeover {
                what_a_subscriber_held_when_it_left_goes_to_another_process
                what_a_killed_process_held_goes_to_another
                a_slow_process_keeps_what_it_holds
            }
            failures {
                a_retried_event_comes_again_with_its_attempts_counted
                a_delivery_that_is_dropped_comes_again
                a_retry_waits_its_time_and_holds_back_nobody
                a_retry_concerns_no_other_subscriber
                many_retries_lose_and_double_nothing
                a_dead_letter_is_listed_with_its_reason
                a_dead_letter_does_not_come_again
                dead_letters_are_seen_from_every_process
            }
            dead_letters {
                a_replayed_letter_goes_to_its_subscriber_alone_as_a_first_attempt
                a_replayed_letter_is_there_no_more
                a_replayed_letter_that_fails_again_is_one_again
                a_purged_letter_is_there_no_more
                only_the_letters_that_are_asked_for_are_read
                the_letters_of_another_service_are_not_read
                another_process_of_the_service_replays_and_purges
                a_letter_whose_subscriber_is_away_is_kept_or_waits_for_it
                the_letter_of_a_broadcast_subscriber_is_replayed
                reading_ends_with_what_was_there_though_all_is_replayed_and_fails_again
            }
            delays {
                a_delayed_event_comes_not_before_its_time_and_holds_up_no_other
                events_published_at_once_have_their_own_delays
                a_delayed_event_goes_to_those_who_listen_when_its_time_has_come
                a_delayed_event_outlives_its_publisher
            }
            payloads {
                text_of_every_kind_arrives_unchanged
                bytes_and_extreme_numbers_arrive_unchanged
                an_event_without_data_arrives
                a_payload_near_the_limit_arrives_and_one_above_it_is_refused
                what_could_not_come_back_is_refused_to_its_publisher
                what_cannot_be_decoded_becomes_a_dead_letter_and_stops_nobody
            }
            metadata {
                id_name_version_source_and_time_are_kept
                key_and_headers_are_kept
                a_chain_of_events_keeps_its_trace_and_its_causes
                an_id_from_elsewhere_is_kept
                the_longest_name_is_delivered
            }
            patterns {
                a_pattern_gets_the_events_that_match_it
                an_event_reaches_patterns_and_names_once_each
            }
            isolation {
                two_namespaces_do_not_mix
                a_pattern_stays_in_its_namespace
            }
            ending {
                a_cancelled_subscription_hands_out_what_it_took_and_ends
                another_subscriber_goes_on_when_one_is_cancelled
                closing_hands_out_what_was_taken_and_ends_every_subscription
                closing_again_changes_nothing
                a_closed_bus_refuses_events_and_subscribers
                a_draining_bus_takes_only_what_handlers_publish
                a_delivery_outlives_its_subscription
                a_subscriber_that_leaves_and_comes_back_gets_events
            }
            outages {
                a_restart_under_load_loses_nothing_confirmed
                a_kill_under_load_loses_nothing_confirmed
                a_pause_under_load_loses_nothing_confirmed
                cut_connections_under_load_lose_nothing_confirmed
                publishing_without_a_server_is_no_silent_loss
                a_long_outage_is_survived
                a_server_that_is_late_is_waited_for
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_modules {
    ($attributes:tt $subject:tt $breakable:tt $($module:ident { $($check:ident)* })*) => {
        $(
            mod $module {
                use super::*;

                $($crate::__conformance_test! { $attributes $subject $breakable $module $check })*
            }
        )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_test {
    (@ [$($attribute:tt)*] [$subject:expr] $module:ident $check:ident) => {
        #[test]
        $($attribute)*
        fn $check() {
            let name = concat!(stringify!($module), "::", stringify!($check));
            $crate::conformance::run_one(name, || $subject);
        }
    };
    ($attributes:tt $subject:tt $breakable:tt outages $check:ident) => {
        $crate::__conformance_test! { @ $attributes $breakable outages $check }
    };
    ($attributes:tt $subject:tt $breakable:tt $module:ident $check:ident) => {
        $crate::__conformance_test! { @ $attributes $subject $module $check }
    };
}
