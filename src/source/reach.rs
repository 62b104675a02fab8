//! Whether clients find the brokers that they need: the group's coordinator, and the leaders of partitions.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;

use super::handle::GroupHandle;
use super::native::{self, KafkaFault, WantedOffset};
use super::trouble::is_silence;
use crate::types::Partition;

/// A partition that no topic has: its offset waits for no transaction.
const NO_PARTITION: Partition = Partition(i32::MAX);

impl GroupHandle {
    /// Whether the consumer finds its coordinator and a leader, and the client for questions a leader and the controller.
    /// Each question, four in all, blocks for up to the timeout; the first that fails is the last.
    pub fn finds_brokers(&self, timeout: Duration) -> Result<(), KafkaFault> {
        let topic = self.any_topic();
        finds_coordinator(&self.consumer, topic, timeout)?;
        finds_leader(&self.consumer, topic, timeout)?;
        finds_leader(self.asking.client(), topic, timeout)?;
        finds_controller(self.asking.client(), topic, timeout)
    }

    /// The same of a client that is made for this.
    pub fn fresh_client_finds_brokers(&self, timeout: Duration) -> Result<(), KafkaFault> {
        let fresh = self.asking.made_anew()?;
        let topic = self.any_topic();
        finds_coordinator(fresh.client(), topic, timeout)?;
        finds_leader(fresh.client(), topic, timeout)?;
        finds_controller(fresh.client(), topic, timeout)
    }

    fn any_topic(&self) -> &str {
        self.topics().iter().next().expect("a consumer has a topic").1
    }
}

fn finds_coordinator<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    timeout: Duration,
) -> Result<(), KafkaFault> {
    judged(native::committed_offsets(client, &[(topic, NO_PARTITION)], timeout))
}

fn finds_leader<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    timeout: Duration,
) -> Result<(), KafkaFault> {
    judged(native::offsets_of_log(client, &[(topic, Partition(0))], WantedOffset::HighWatermark, timeout))
}

fn finds_controller<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    timeout: Duration,
) -> Result<(), KafkaFault> {
    let asked = native::topic_identities(client, &[topic], timeout);
    asked.err().filter(|fault| is_unanswered(fault.code)).map_or(Ok(()), Err)
}

/// A refusal is an answer.
fn judged<T>(answer: Result<native::ByPartition<Result<T, KafkaFault>>, KafkaFault>) -> Result<(), KafkaFault> {
    let faults = match answer {
        Ok(answers) => answers.into_values().filter_map(Result::err).collect(),
        Err(fault) => vec![fault],
    };
    faults.into_iter().find(|fault| is_unanswered(fault.code)).map_or(Ok(()), Err)
}

/// Whether nobody answered, also where the client gave up before it asked.
fn is_unanswered(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    is_silence(code)
        || matches!(
            code,
            Code::BrokerDestroy | Code::WaitingForCoordinator | Code::TimedOutQueue | Code::RequestTimedOut
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_an_answer_and_silence_is_none() {
        let check = |code: RDKafkaErrorCode, answered: bool| {
            let whole: Result<native::ByPartition<Result<(), KafkaFault>>, _> = Err(KafkaFault::new("asking", code));
            assert_eq!(judged(whole).is_ok(), answered, "{code:?}");
            let one = Err(KafkaFault::new("asking", code));
            let answers: native::ByPartition<Result<(), _>> = [(("t".to_owned(), Partition(0)), one)].into();
            assert_eq!(judged(Ok(answers)).is_ok(), answered, "{code:?} of a partition");
        };
        for code in [RDKafkaErrorCode::TopicAuthorizationFailed, RDKafkaErrorCode::UnknownTopicOrPartition] {
            check(code, true);
        }
        for code in [RDKafkaErrorCode::OperationTimedOut, RDKafkaErrorCode::BrokerTransportFailure] {
            check(code, false);
        }
    }
}
