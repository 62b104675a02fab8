//! One number for a situation, the same for all histories that lead to it.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use oncesink::protocol::explore::{name, of_process, renumbered, shared_name};

use crate::clickhouse::{ClickHouse, Statement};
use crate::kafka::Kafka;
use crate::scenario::Fault;
use crate::worker::{Task, Worker};
use crate::world::World;

fn process(w: usize) -> u64 {
    u64::try_from(w).expect("few workers")
}

pub(crate) fn fingerprint(world: &World) -> u64 {
    renumbered(|| {
        let mut hasher = DefaultHasher::new();
        hash_world(world, &mut hasher);
        hasher.finish()
    })
}

fn hash_world<H: Hasher>(world: &World, h: &mut H) {
    world.scenario.budgets.hash(h);
    hash_kafka(&world.kafka, h);
    let running = world.clickhouse.running();
    for (w, worker) in world.workers.iter().enumerate() {
        of_process(process(w));
        hash_worker(worker, &running, h);
    }
    let losses = world.budget(Fault::PowerLoss);
    hash_clickhouse(&world.clickhouse, losses, h);
    world.late_claims.hash(h);
    (&world.replays, &world.to_reset, &world.retained, world.power_losses, world.vanished).hash(h);
    world.oracle.hash(h);
}

fn hash_kafka<H: Hasher>(kafka: &Kafka, h: &mut H) {
    (&kafka.generations, &kafka.logs, &kafka.committed).hash(h);
    let member = |id: u64, h: &mut H| shared_name("member", id, h);
    h.write_usize(kafka.group.members.len());
    for (id, known) in &kafka.group.members {
        member(*id, h);
        (known.worker, &known.revoke, known.incarnation).hash(h);
    }
    for (key, id) in kafka.group.target.iter().chain(&kafka.group.holder) {
        key.hash(h);
        member(*id, h);
    }
    h.write_usize(kafka.group.holder.len());
    shared_name("generation", kafka.group.generation, h);
    for request in &kafka.late_offsets {
        if let Some((id, generation)) = request.member {
            member(id, h);
            shared_name("generation", generation, h);
        }
        (request.worker, &request.offsets, &request.ranges).hash(h);
        of_process(process(request.worker));
        name("epoch", request.epoch, h);
    }
    for (w, epoch) in &kafka.late_ends {
        of_process(process(*w));
        w.hash(h);
        name("epoch", *epoch, h);
    }
    for (w, coordinator) in kafka.coordinators.iter().enumerate() {
        of_process(process(w));
        name("epoch", coordinator.epoch, h);
        coordinator.txn.hash(h);
    }
}

fn hash_worker<H: Hasher>(worker: &Worker, running: &BTreeSet<u64>, h: &mut H) {
    let Worker { alive, frozen, incarnation, state, source, member, generation, .. } = worker;
    (alive, frozen, incarnation, state).hash(h);
    (&source.fills, &source.open, &source.limits, &source.orders, &source.events, source.stopping).hash(h);
    (&worker.assigned, &worker.blocks, &worker.ready, worker.finished, worker.unnoticed, &worker.early).hash(h);
    h.write_usize(worker.tasks.len());
    for task in &worker.tasks {
        hash_task(task, running, h);
    }
    worker.epoch.is_some().hash(h);
    if let Some(epoch) = worker.epoch {
        name("epoch", epoch, h);
    }
    member.is_some().hash(h);
    if let Some(id) = *member {
        shared_name("member", id, h);
    }
    shared_name("generation", *generation, h);
}

fn hash_task<H: Hasher>(task: &Task, running: &BTreeSet<u64>, h: &mut H) {
    std::mem::discriminant(task).hash(h);
    match task {
        Task::Facts { number, keys, lane, generation, committed, stored } => {
            (number, keys, lane, generation, committed, stored).hash(h);
        }
        Task::Txn { number, offsets, ranges, alerts, step } => (number, offsets, ranges, alerts, step).hash(h),
        Task::Claim { number, keys, greatest } => (number, keys, greatest).hash(h),
        Task::Drain { number, listed } => {
            number.hash(h);
            listed.is_some().hash(h);
            for id in listed.iter().flat_map(|listed| listed.intersection(running)) {
                shared_name("statement", *id, h);
            }
        }
        Task::Settle { number, lane } => (number, lane).hash(h),
        Task::Look { number, from, rows } => (number, from, rows).hash(h),
        Task::Topic { block, lane } => (block, lane).hash(h),
        Task::Build => {}
        Task::Pause(ticket, delay) => (ticket, delay).hash(h),
    }
}

fn hash_clickhouse<H: Hasher>(clickhouse: &ClickHouse, losses: bool, h: &mut H) {
    if losses {
        (&clickhouse.ownership, &clickhouse.ledger, &clickhouse.parts).hash(h);
    } else {
        // Which came first makes no difference but to what a loss takes.
        unordered(clickhouse.ownership.iter(), h);
        unordered(clickhouse.ledger.iter(), h);
        unordered(clickhouse.parts.iter(), h);
    }
    h.write_usize(clickhouse.statements.len());
    for statement in &clickhouse.statements {
        hash_statement(statement, h);
    }
}

fn hash_statement<H: Hasher>(statement: &Statement, h: &mut H) {
    let Statement { id, request, worker, incarnation: _, awaited, insert, parts, run } = statement;
    (awaited, parts, run, insert.table, &insert.claims, &insert.found, &insert.ledger).hash(h);
    of_process(process(*worker));
    if *awaited {
        (worker, insert.block).hash(h);
    }
    shared_name("statement", *id, h);
    shared_name("request", *request, h);
}

/// The sum of the hashes: their order does not count.
fn unordered<T: Hash, H: Hasher>(items: impl Iterator<Item = T>, h: &mut H) {
    let mut sum: u64 = 0;
    for item in items {
        let mut hasher = DefaultHasher::new();
        item.hash(&mut hasher);
        sum = sum.wrapping_add(hasher.finish());
    }
    h.write_u64(sum);
}
