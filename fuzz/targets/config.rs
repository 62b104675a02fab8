//! Any text as a configuration: settings, or errors that each have a place.

use oncesink::config;

/// As a user's environment may be.
fn environment(name: &str) -> Option<String> {
    name.len().is_multiple_of(2).then(|| "a ${B} 'c' \": -".to_owned())
}

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // A name there is looked up in DNS, whose time is not ours.
    if text.contains("listen") {
        return;
    }
    match config::parse("fuzz.yaml", &text, &environment) {
        Ok(settings) => assert!(!settings.topics.is_empty()),
        Err(errors) => {
            assert!(errors.iter().count() > 0);
            for error in errors.iter() {
                assert!(error.to_string().starts_with("fuzz.yaml:"), "{error}");
            }
        }
    }
}
