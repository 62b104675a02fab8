//! What the promise costs: L1 with fence, ledger and transaction left out one by one, against nothing left out.
//!
//! Such a build can lose and double records: it exists in this bench only.

use anyhow::{Result, ensure};

use crate::contender::{Build, Contender};
use crate::load::Load;
use crate::report::Report;
use crate::run::{Job, Rig};
use crate::throughput::BATCH;

const PARTS: [Option<&str>; 5] =
    [None, Some("fence"), Some("ledger"), Some("transaction"), Some("fence,ledger,transaction")];

pub(crate) fn bench(rig: &Rig, report: &mut Report) -> Result<()> {
    ensure!(cfg!(feature = "price"), "this needs a build that can leave parts out: --features price");
    let load = Load::l1();
    let topic = rig.loaded(&load, 4, rig.common.records)?;
    for _ in 0..rig.common.runs {
        for without in PARTS {
            let build = Build { without, ..Build::ours() };
            let job = Job { topic: topic.clone(), load: &load, records: rig.common.records, batch: BATCH };
            let variant = without.map_or_else(|| "exactly once".to_owned(), |parts| format!("without {parts}"));
            report.add(&variant, rig.run(&Contender::Connector(build), &job)?)?;
        }
    }
    Ok(())
}
