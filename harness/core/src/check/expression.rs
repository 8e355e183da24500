//! CEL expressions that end. They come with scenarios, which may be somebody else's, and are evaluated by whoever checks a
//! report: so an expression has a bounded length, and what it may cost for an event is known before it is evaluated.

use kube_cel::cel::Program;
use kube_cel::cel::common::ast::{EntryExpr, Expr, IdedExpr};

/// The longest expression, in bytes. (cel 0.13 panics at errors beyond the 65 535th column.)
const LONGEST: usize = 4096;
/// How often the innermost part of an expression may be evaluated for one event.
const ROUNDS: usize = 1_000_000;
/// How many calls that make texts or lists longer may be in an expression: each can multiply what the one before made.
const GROWING: usize = 2;
/// Those calls (kube-cel 0.8, and the standard library).
const GROW: [&str; 4] = ["replace", "join", "flatten", "split"];

/// Compiles an expression.
///
/// # Errors
/// When it is no expression, too long, or could grow without bound, in words.
pub(super) fn compile(text: &str) -> Result<Program, String> {
    if text.len() > LONGEST {
        return Err(format!("it has {} bytes, and may have {LONGEST}", text.len()));
    }
    let program = Program::compile(text).map_err(|error| error.to_string())?;
    let growing = calls(program.expression(), &|call| GROW.contains(&call));
    if growing > GROWING {
        return Err(format!("it calls {} {growing} times, and may {GROWING} times", GROW.join(", ")));
    }
    if rounds(&program, 0).is_none_or(|rounds| rounds > ROUNDS) {
        return Err("its macros (`all`, `exists`, `map`, `filter`) are nested too deep".to_owned());
    }
    Ok(program)
}

/// Whether an expression can be evaluated for an event in reasonable time.
///
/// # Errors
/// When it could not, in words.
pub(super) fn is_affordable(program: &Program, event: &serde_json::Value) -> Result<(), String> {
    match rounds(program, size(event)) {
        Some(rounds) if rounds <= ROUNDS => Ok(()),
        _ => Err("the event is too large for an expression with so many nested macros".to_owned()),
    }
}

/// How often the innermost part of an expression is evaluated at most: no list is longer than all values of the event and
/// of the expression together.
fn rounds(program: &Program, event: usize) -> Option<usize> {
    let expression = program.expression();
    let longest = event.checked_add(literals(expression))?;
    longest.max(1).checked_pow(u32::try_from(depth(expression)).ok()?)
}

/// All values in a value.
fn size(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(items) => items.iter().map(size).fold(1, usize::saturating_add),
        serde_json::Value::Object(fields) => fields.values().map(size).fold(1, usize::saturating_add),
        _ => 1,
    }
}

/// How deep comprehensions, which macros are, lie in one another.
fn depth(expression: &IdedExpr) -> usize {
    match &expression.expr {
        // Its list is made once, all the rest is evaluated for each item.
        Expr::Comprehension(part) => {
            let inner = [&part.accu_init, &part.loop_cond, &part.loop_step, &part.result].map(depth);
            depth(&part.iter_range).max(1 + inner.into_iter().max().unwrap_or(0))
        }
        _ => children(expression).into_iter().map(depth).max().unwrap_or(0),
    }
}

/// The values that an expression writes out.
fn literals(expression: &IdedExpr) -> usize {
    let own = usize::from(matches!(expression.expr, Expr::Literal(_)));
    children(expression).into_iter().map(literals).fold(own, usize::saturating_add)
}

fn calls(expression: &IdedExpr, counts: &impl Fn(&str) -> bool) -> usize {
    let own = usize::from(matches!(&expression.expr, Expr::Call(call) if counts(&call.func_name)));
    children(expression).into_iter().map(|child| calls(child, counts)).fold(own, usize::saturating_add)
}

fn children(expression: &IdedExpr) -> Vec<&IdedExpr> {
    match &expression.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Comprehension(part) => {
            vec![&part.iter_range, &part.accu_init, &part.loop_cond, &part.loop_step, &part.result]
        }
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|entry| of_entry(&entry.expr)).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Struct(value) => value.entries.iter().flat_map(|entry| of_entry(&entry.expr)).collect(),
    }
}

fn of_entry(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    /// A list in a macro for each letter: `[0, …, 9].all(a, [0, …, 9].all(b, true))`.
    fn nested(letters: &str) -> String {
        letters
            .chars()
            .rev()
            .fold("true".to_owned(), |inner, letter| format!("[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].all({letter}, {inner})"))
    }

    #[rstest]
    #[case("event.code == 201")]
    #[case("event.ips.exists(ip, ip == '192.0.2.10') && event.dns.all(name, name.startsWith('n'))")]
    #[case(&nested("ab"))]
    fn what_scenarios_ask_is_affordable(#[case] text: &str) {
        let program = compile(text).map_err(|error| format!("{text}: {error}")).unwrap();
        is_affordable(&program, &json!({"code": 201, "ips": ["192.0.2.1"], "dns": ["n1"]})).unwrap();
    }

    #[rstest]
    #[case::deep(&nested("abcdefghi"), "nested too deep")]
    #[case::long(&format!("event.a == '{}'", "a".repeat(5000)), "may have 4096")]
    #[case::error_far_out(&format!("{}!", " ".repeat(70_000)), "may have 4096")]
    #[case::growing(&format!("'a'{} == ''", ".replace('a', 'aa')".repeat(60)), "and may 2 times")]
    #[case::wrong("event.", "")]
    fn what_would_not_end_is_refused(#[case] text: &str, #[case] says: &str) {
        let error = compile(text).map(drop).unwrap_err();
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn a_large_event_is_not_compared_with_itself() {
        let program = compile("event.all(a, event.all(b, a != b))").unwrap();
        is_affordable(&program, &json!(vec![0; 500])).unwrap();
        is_affordable(&program, &json!(vec![0; 5000])).unwrap_err();
    }
}
