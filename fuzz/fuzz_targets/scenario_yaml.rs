//! Whatever stands in a scenario file, the loader gives a scenario or messages, and the messages can be drawn.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tlsboot_core::scenario::load_text;

fuzz_target!(|text: &str| {
    if let Err(errors) = load_text("fuzz.yaml", text) {
        assert!(!errors.is_empty(), "refused without a word");
        for error in errors {
            assert!(!error.render(true).is_empty());
        }
    }
});
