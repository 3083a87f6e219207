//! nginx.conf as a tree. Directive names and keywords are `&'static str`; whatever came from outside is an
//! [`Arg::Quoted`], and [`serialize`] is the only way to text.

mod serialize;

pub use serialize::serialize;

/// One directive: a name, its arguments, and for a block its children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// nginx's own word.
    pub name: Name,
    /// Arguments in order.
    pub args: Vec<Arg>,
    /// `None` for a simple directive, which ends in `;`.
    pub block: Option<Vec<Directive>>,
}

/// What stands first on a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A directive of nginx.
    Static(&'static str),
    /// A key of a `map`, `geo` or `split_clients` block: literal text, quoted.
    Key(String),
}

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arg {
    /// A keyword, modifier, variable or parameter of ours, written as it is.
    Word(&'static str),
    /// A number.
    Number(u64),
    /// A number with a unit or a prefix of ours, such as `30s` or `zone=`: prefix, number, suffix.
    Unit(&'static str, u64, &'static str),
    /// Literal text: always quoted, and refused if it has `$` or a character outside visible ASCII and space.
    Quoted(String),
    /// A regular expression of our own making over an escaped literal (one-label wildcard host names).
    OneLabelWildcard(String),
    /// A variable of ours, named by a prefix and a hash.
    Variable(&'static str, Hex),
    /// `scheme://$variable` of ours.
    VariableUrl(&'static str, &'static str, Hex),
    /// nginx's variable for a header of an upstream's answer.
    UpstreamHeader(crate::RequestHeader),
    /// A parameter named by a hash, such as `zone=` and its size: prefix, hash, suffix.
    Named(&'static str, Hex, &'static str),
    /// One quoted argument of literal text and nginx's own variables.
    Joined(Vec<Piece>),
}

/// A part of an [`Arg::Joined`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// Literal text, under the same rules as [`Arg::Quoted`].
    Text(String),
    /// A variable of nginx, by name.
    Variable(&'static str),
}

/// Lower-case hexadecimal, so that it may stand inside a variable's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hex(String);

impl Hex {
    /// The hash of some content.
    #[must_use]
    pub fn of(content: &[u8]) -> Hex {
        Hex(crate::short_hash(content, 8))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A simple directive.
#[must_use]
pub fn simple(name: &'static str, args: impl IntoIterator<Item = Arg>) -> Directive {
    Directive { name: Name::Static(name), args: args.into_iter().collect(), block: None }
}

/// A block.
#[must_use]
pub fn block(name: &'static str, args: impl IntoIterator<Item = Arg>, children: Vec<Directive>) -> Directive {
    Directive { name: Name::Static(name), args: args.into_iter().collect(), block: Some(children) }
}

/// A line inside a `map` or `split_clients` block.
#[must_use]
pub fn entry(key: impl Into<String>, args: impl IntoIterator<Item = Arg>) -> Directive {
    Directive { name: Name::Key(key.into()), args: args.into_iter().collect(), block: None }
}

/// Literal text.
#[must_use]
pub fn quoted(text: impl Into<String>) -> Arg {
    Arg::Quoted(text.into())
}
