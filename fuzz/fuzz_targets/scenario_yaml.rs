//! Whatever a scenario file contains, the loader returns a scenario or errors, and the errors can be rendered.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tlsboot_core::scenario::load_text;

fuzz_target!(|text: &str| {
    if let Err(errors) = load_text("fuzz.yaml", text) {
        assert!(!errors.is_empty(), "rejected without an error");
        for error in errors {
            assert!(!error.render(true).is_empty());
        }
    }
});
