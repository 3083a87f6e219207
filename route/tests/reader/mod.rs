//! nginx.conf read by nginx's own lexical rules, and by nothing of the renderer.

/// A directive as nginx reads it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    pub words: Vec<String>,
    pub block: Option<Vec<Node>>,
}

/// Reads a file by nginx's rules: words end at white space, `;` or `{`; a quote opens a word only at its start and must
/// be followed by white space, `;`, `{` or `)`; a backslash keeps the next character, and before a quote, a backslash or
/// white space's letter is taken away; `#` at the start of a word is a comment; `${` does not open a block.
pub fn read(text: &str) -> Result<Vec<Node>, String> {
    let mut chars = text.chars().peekable();
    let mut stack: Vec<(Vec<String>, Vec<Node>)> = Vec::new();
    let (mut nodes, mut words): (Vec<Node>, Vec<String>) = (Vec::new(), Vec::new());
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => {}
            '#' => {
                for c in chars.by_ref() {
                    if c == '\n' {
                        break;
                    }
                }
            }
            ';' => {
                if words.is_empty() {
                    return Err("unexpected ;".into());
                }
                nodes.push(Node { words: std::mem::take(&mut words), block: None });
            }
            '{' => {
                if words.is_empty() {
                    return Err("unexpected {".into());
                }
                stack.push((std::mem::take(&mut words), std::mem::take(&mut nodes)));
            }
            '}' => {
                if !words.is_empty() {
                    return Err(format!("unexpected }} after {words:?}"));
                }
                let (name, outer) = stack.pop().ok_or("unexpected }")?;
                let block = std::mem::replace(&mut nodes, outer);
                nodes.push(Node { words: name, block: Some(block) });
            }
            quote @ ('"' | '\'') => {
                let mut word = String::new();
                loop {
                    match chars.next().ok_or("a quote without end")? {
                        '\\' => escape(&mut word, chars.next().ok_or("a backslash without end")?),
                        c if c == quote => break,
                        c => word.push(c),
                    }
                }
                if !matches!(chars.peek(), Some(' ' | '\t' | '\r' | '\n' | ';' | '{' | ')')) {
                    return Err(format!("text runs on after {word:?}"));
                }
                words.push(word);
            }
            first => {
                let mut word = String::new();
                let mut next = Some(first);
                while let Some(c) = next {
                    match c {
                        '\\' => escape(&mut word, chars.next().ok_or("a backslash without end")?),
                        c => word.push(c),
                    }
                    let dollar = c == '$';
                    let ends = |c: &char| matches!(c, ' ' | '\t' | '\r' | '\n' | ';') || (*c == '{' && !dollar);
                    next = chars.next_if(|c| !ends(c));
                }
                words.push(word);
            }
        }
    }
    if stack.is_empty() && words.is_empty() { Ok(nodes) } else { Err("the file ends inside a directive".into()) }
}

fn escape(word: &mut String, c: char) {
    match c {
        '"' | '\'' | '\\' => word.push(c),
        't' => word.push('\t'),
        'r' => word.push('\r'),
        'n' => word.push('\n'),
        c => word.extend(['\\', c]),
    }
}
