//! CEL expressions that are guaranteed to terminate. They come with scenarios from other people and are evaluated by
//! everyone who checks a report, so the length of an expression is bounded, and its cost for an event is known before
//! it is evaluated.

use std::collections::BTreeSet;

use kube_cel::cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use kube_cel::cel::{Context, ExecutionError, Program};

/// The maximum length of an expression, in bytes. (cel 0.13 panics on errors beyond column 65 535.)
const LONGEST: usize = 4096;
/// How often the innermost part of an expression may be evaluated for one event.
const ROUNDS: usize = 1_000_000;
/// How many calls that lengthen texts or lists an expression may contain: each can multiply the result of the one
/// before.
const GROWING: usize = 2;
/// These calls (kube-cel 0.8 and the standard library).
const GROW: [&str; 4] = ["replace", "join", "flatten", "split"];

/// Compiles an expression.
///
/// # Errors
/// If it is not an expression, too long, or could grow without bound, in words.
pub(super) fn compile(text: &str) -> Result<Program, String> {
    if text.len() > LONGEST {
        return Err(format!("it has {} bytes, the limit is {LONGEST}", text.len()));
    }
    let program = Program::compile(text).map_err(|error| error.to_string())?;
    let growing = calls(program.expression(), &|call| GROW.contains(&call));
    if growing > GROWING {
        return Err(format!("it calls {} {growing} times, the limit is {GROWING}", GROW.join(", ")));
    }
    if rounds(&program, 0).is_none_or(|rounds| rounds > ROUNDS) {
        return Err("its macros (`all`, `exists`, `map`, `filter`) are nested too deeply".to_owned());
    }
    Ok(program)
}

/// Whether an expression can be evaluated for an event in reasonable time.
///
/// # Errors
/// If it could not, in words.
pub(super) fn is_affordable(program: &Program, event: &serde_json::Value) -> Result<(), String> {
    match rounds(program, size(event)) {
        Some(rounds) if rounds <= ROUNDS => Ok(()),
        _ => Err("the event is too large for an expression with so many nested macros".to_owned()),
    }
}

/// The free variables of an expression: not those that its macros bind.
pub(super) fn free_variables(program: &Program) -> BTreeSet<&str> {
    let mut free = BTreeSet::new();
    visit(program.expression(), &mut Vec::new(), &mut |expression, _| {
        if let Expr::Ident(name) = &expression.expr {
            free.insert(name.as_str());
        }
    });
    free
}

/// What an expression uses: a free variable and the path of fields that it reads from it, such as `["event", "request",
/// "ips"]`.
pub(super) fn paths(program: &Program) -> BTreeSet<Vec<&str>> {
    let mut paths = BTreeSet::new();
    visit(program.expression(), &mut Vec::new(), &mut |expression, inside| {
        if let (Some(path), false) = (path(expression), inside) {
            paths.insert(path);
        }
    });
    paths
}

/// A literal of type uint in an expression.
pub(super) fn unsigned(program: &Program) -> Option<u64> {
    fn in_part(expression: &IdedExpr) -> Option<u64> {
        match &expression.expr {
            Expr::Literal(LiteralValue::UInt(number)) => Some(*number.inner()),
            _ => children(expression).into_iter().find_map(in_part),
        }
    }
    in_part(program.expression())
}

/// The functions that an expression calls and that do not exist.
pub(super) fn unknown_functions(program: &Program, context: &Context<'_>) -> BTreeSet<String> {
    let references = program.references();
    let called = references.functions().into_iter().filter(|name| name.chars().all(char::is_alphanumeric));
    let is_unknown = |name: &&str| {
        let call = Program::compile(&format!("{name}()"));
        // A macro's name alone does not compile, so what compiled above is a real macro.
        let error = call.ok().and_then(|call| call.execute(context).err());
        matches!(error, Some(ExecutionError::UndeclaredReference(_)))
    };
    called.filter(is_unknown).map(str::to_owned).collect()
}

/// A variable and its fields, if an expression is nothing else.
fn path(expression: &IdedExpr) -> Option<Vec<&str>> {
    let with = |operand, field| {
        let mut path: Vec<&str> = path(operand)?;
        path.push(field);
        Some(path)
    };
    match &expression.expr {
        Expr::Ident(name) => Some(vec![name]),
        Expr::Select(select) => with(&select.operand, &select.field),
        Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
            [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(field)), .. }] => {
                with(operand, field.inner())
            }
            _ => None,
        },
        _ => None,
    }
}

/// Visits all parts of an expression that are not about variables which its macros bind. `look` is told whether a part
/// belongs to a [`path`] that it has already seen as a whole.
fn visit<'a>(expression: &'a IdedExpr, bound: &mut Vec<&'a str>, look: &mut impl FnMut(&'a IdedExpr, bool)) {
    visit_piece(expression, bound, false, look);
}

fn visit_piece<'a>(
    expression: &'a IdedExpr,
    bound: &mut Vec<&'a str>,
    inside: bool,
    look: &mut impl FnMut(&'a IdedExpr, bool),
) {
    let path = path(expression);
    if path.as_ref().is_none_or(|path| !bound.contains(&path[0])) {
        look(expression, inside);
    }
    let Expr::Comprehension(part) = &expression.expr else {
        let inside = path.is_some();
        return children(expression).into_iter().for_each(|child| visit_piece(child, bound, inside, look));
    };
    for outside in [&part.iter_range, &part.accu_init] {
        visit_piece(outside, bound, false, look);
    }
    let outer = bound.len();
    bound.extend([part.iter_var.as_str(), part.accu_var.as_str()]);
    bound.extend(part.iter_var2.as_deref());
    for inner in [&part.loop_cond, &part.loop_step, &part.result] {
        visit_piece(inner, bound, false, look);
    }
    bound.truncate(outer);
}

/// The maximum number of evaluations of the innermost part: no list is longer than all values of the event and of the
/// expression together.
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

/// The nesting depth of comprehensions, which is what macros are.
fn depth(expression: &IdedExpr) -> usize {
    match &expression.expr {
        // The list is built once; everything else is evaluated for each item.
        Expr::Comprehension(part) => {
            let inner = [&part.accu_init, &part.loop_cond, &part.loop_step, &part.result].map(depth);
            depth(&part.iter_range).max(1 + inner.into_iter().max().unwrap_or(0))
        }
        _ => children(expression).into_iter().map(depth).max().unwrap_or(0),
    }
}

/// How many literals an expression has.
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

    /// One nested list macro per letter: `[0, …, 9].all(a, [0, …, 9].all(b, true))`.
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
    #[case::deep(&nested("abcdefghi"), "nested too deeply")]
    #[case::long(&format!("event.a == '{}'", "a".repeat(5000)), "limit is 4096")]
    #[case::error_far_out(&format!("{}!", " ".repeat(70_000)), "limit is 4096")]
    #[case::growing(&format!("'a'{} == ''", ".replace('a', 'aa')".repeat(60)), "limit is 2")]
    #[case::wrong("event.", "")]
    fn what_would_not_end_is_refused(#[case] text: &str, #[case] says: &str) {
        let error = compile(text).map(drop).unwrap_err();
        assert!(error.contains(says), "{error}");
    }

    #[rstest]
    #[case("event.ips.exists(ip, ip == '192.0.2.10')", &["event"])]
    #[case("event.a.all(x, event.b.exists_one(y, x == y))", &["event"])]
    #[case("event.a.map(x, x + 1).filter(x, x > at) == []", &["at", "event"])]
    #[case("event.a.all(x, y == x)", &["event", "y"])]
    #[case("[1].exists(ip, true) && ip == 2", &["ip"])]
    fn macros_bind_their_variables(#[case] text: &str, #[case] free: &[&str]) {
        let program = compile(text).unwrap();
        assert_eq!(free_variables(&program).into_iter().collect::<Vec<_>>(), free);
    }

    #[rstest]
    #[case("event.request.ips == [] && at != event.name", &["at", "event.name", "event.request.ips"])]
    #[case("event['name'] == '' && has(event.extra)", &["event.extra", "event.name"])]
    #[case("event.a.exists(x, x.b == event.c)", &["event.a", "event.c"])]
    #[case("event.a[0].b == 1 && event.s.startsWith('n')", &["event.a", "event.s"])]
    fn what_an_expression_looks_at_is_known(#[case] text: &str, #[case] expected: &[&str]) {
        let program = compile(text).unwrap();
        assert_eq!(paths(&program).into_iter().map(|path| path.join(".")).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_large_event_is_not_compared_with_itself() {
        let program = compile("event.all(a, event.all(b, a != b))").unwrap();
        is_affordable(&program, &json!(vec![0; 500])).unwrap();
        is_affordable(&program, &json!(vec![0; 5000])).unwrap_err();
    }
}
