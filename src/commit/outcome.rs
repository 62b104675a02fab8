//! What a failed transactional call means, as a table over Kafka's codes.
//!
//! Takes the client's error, gives one of few meanings. Promises: only an answer that leaves nothing open is called a
//! refusal. Whatever is not known is ambiguous, which costs a new producer and a takeover, and is always safe.

use rdkafka::error::RDKafkaErrorCode;

use crate::source::TransactionError;

/// What a failed call means for the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The broker refused the offsets, for good: the transaction can be aborted and the producer used again.
    Rejected {
        /// Another member has joined with our instance id. A member that the group has merely dropped, because it was
        /// silent for longer than its session, joins again by itself.
        replaced: bool,
    },
    /// Calling again resumes it.
    Resumable,
    /// Whether it was done is not known, or the producer's state is not.
    Ambiguous,
    /// The producer is of no use any more.
    Fatal {
        /// Another producer with our transactional id has taken over, or the broker ended our transaction.
        fenced: bool,
    },
}

/// A failure of `send_offsets`. It is retried inside the client until its timeout, so what comes out was either answered
/// clearly or not answered.
pub(super) fn of_sending_offsets(error: &TransactionError) -> Failure {
    use RDKafkaErrorCode as Code;
    if let Some(fatal) = fatal(error) {
        return fatal;
    }
    if !error.requires_abort {
        return Failure::Ambiguous;
    }
    // Refusals that stay refusals: an earlier try of the same request that arrives late is refused for the same reason.
    match error.code {
        Code::FencedInstanceId => Failure::Rejected { replaced: true },
        Code::UnknownMemberId
        | Code::FencedMemberEpoch
        | Code::IllegalGeneration
        | Code::StaleMemberEpoch
        | Code::RebalanceInProgress
        | Code::OffsetMetadataTooLarge => Failure::Rejected { replaced: false },
        _ => Failure::Ambiguous,
    }
}

/// A failure of `commit`. A commit that may have happened is never aborted.
pub(super) fn of_committing(error: &TransactionError) -> Failure {
    if let Some(fatal) = fatal(error) {
        return fatal;
    }
    if error.retriable {
        return Failure::Resumable;
    }
    Failure::Ambiguous
}

/// A failure of `begin`, `abort` or of producing.
pub(super) fn of_other(error: &TransactionError) -> Failure {
    fatal(error).unwrap_or(Failure::Ambiguous)
}

fn fatal(error: &TransactionError) -> Option<Failure> {
    let fenced = is_fenced(error.code);
    (error.fatal || fenced).then_some(Failure::Fatal { fenced })
}

/// Whether the code says that another producer has our transactional id.
pub(super) fn is_fenced(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use RDKafkaErrorCode as Code;

    const ABORTABLE: (bool, bool, bool) = (false, false, true);
    const FATAL: (bool, bool, bool) = (true, false, false);
    const RETRIABLE: (bool, bool, bool) = (false, true, false);
    const PLAIN: (bool, bool, bool) = (false, false, false);

    fn error(code: Code, (fatal, retriable, requires_abort): (bool, bool, bool)) -> TransactionError {
        TransactionError { code, fatal, retriable, requires_abort, text: String::new() }
    }

    #[test]
    fn sending_offsets() {
        let check = |code, flags, expected| {
            assert_eq!(of_sending_offsets(&error(code, flags)), expected, "{code:?}");
        };
        for code in [
            Code::UnknownMemberId,
            Code::FencedMemberEpoch,
            Code::IllegalGeneration,
            Code::StaleMemberEpoch,
            Code::RebalanceInProgress,
            Code::OffsetMetadataTooLarge,
        ] {
            let rejected = Failure::Rejected { replaced: false };
            check(code, ABORTABLE, rejected);
            // The client did not say that it can be aborted: then nothing is clear.
            check(code, PLAIN, Failure::Ambiguous);
        }
        check(Code::FencedInstanceId, ABORTABLE, Failure::Rejected { replaced: true });
        for code in [
            Code::NotCoordinator,
            Code::CoordinatorNotAvailable,
            Code::CoordinatorLoadInProgress,
            Code::RequestTimedOut,
            Code::ConcurrentTransactions,
            Code::BrokerTransportFailure,
            Code::OperationTimedOut,
            Code::UnknownTopicOrPartition,
            Code::GroupAuthorizationFailed,
            Code::TopicAuthorizationFailed,
            Code::UnknownTopicId,
            Code::Unknown,
        ] {
            check(code, ABORTABLE, Failure::Ambiguous);
            check(code, RETRIABLE, Failure::Ambiguous);
        }
        for code in [Code::Fenced, Code::ProducerFenced, Code::InvalidProducerEpoch] {
            check(code, FATAL, Failure::Fatal { fenced: true });
            check(code, ABORTABLE, Failure::Fatal { fenced: true });
        }
        for code in [
            Code::InvalidTransactionalState,
            Code::InvalidProducerIdMapping,
            Code::TransactionalIdAuthorizationFailed,
            Code::ClusterAuthorizationFailed,
            Code::UnsupportedForMessageFormat,
        ] {
            check(code, FATAL, Failure::Fatal { fenced: false });
        }
    }

    #[test]
    fn committing() {
        let check = |code, flags, expected| {
            assert_eq!(of_committing(&error(code, flags)), expected, "{code:?}");
        };
        for code in
            [Code::OperationTimedOut, Code::BrokerTransportFailure, Code::State, Code::CoordinatorLoadInProgress]
        {
            check(code, RETRIABLE, Failure::Resumable);
            check(code, PLAIN, Failure::Ambiguous);
        }
        // "Requires abort" after EndTxn may have been sent says nothing of whether it was carried out.
        for code in [Code::UnknownProducerId, Code::InvalidProducerIdMapping, Code::Inconsistent] {
            check(code, ABORTABLE, Failure::Ambiguous);
        }
        check(Code::Fenced, FATAL, Failure::Fatal { fenced: true });
        check(Code::InvalidTransactionalState, FATAL, Failure::Fatal { fenced: false });
    }

    #[test]
    fn other_calls() {
        let check = |code, flags, expected| {
            assert_eq!(of_other(&error(code, flags)), expected, "{code:?}");
        };
        check(Code::State, PLAIN, Failure::Ambiguous);
        check(Code::OperationTimedOut, RETRIABLE, Failure::Ambiguous);
        check(Code::State, FATAL, Failure::Fatal { fenced: false });
        check(Code::Fenced, FATAL, Failure::Fatal { fenced: true });
    }
}
