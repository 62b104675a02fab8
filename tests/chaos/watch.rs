//! What Linux and the logs say of the processes.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The whole lines of a file from byte `from` on, and where they end.
pub(crate) fn new_lines(path: &Path, from: u64) -> (Vec<String>, u64) {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut bytes)
    });
    if read.is_err() {
        return (Vec::new(), from);
    }
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let text = String::from_utf8_lossy(&bytes[..whole]);
    (text.lines().map(str::to_owned).collect(), from + u64::try_from(whole).expect("a file fits into 64 bits"))
}

/// The most resident memory of a process so far, in KiB; none where it has ended.
pub(crate) fn peak_kib(pid: u32) -> Option<u64> {
    status_kib(pid, "VmHWM:")
}

/// Its resident memory now, in KiB.
pub(crate) fn resident_kib(pid: u32) -> Option<u64> {
    status_kib(pid, "VmRSS:")
}

fn status_kib(pid: u32, key: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[test]
fn lines_are_read_once_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    std::fs::write(&file, "one\ntwo\nthr").unwrap();
    let (lines, read) = new_lines(&file, 0);
    assert_eq!((lines, read), (vec!["one".to_owned(), "two".to_owned()], 8));
    std::fs::write(&file, "one\ntwo\nthree\n").unwrap();
    assert_eq!(new_lines(&file, read), (vec!["three".to_owned()], 14));
    assert!(peak_kib(std::process::id()).unwrap() > 1_000);
}
