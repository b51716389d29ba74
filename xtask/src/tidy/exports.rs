//! No glob re-exports: what a module offers can be read in it.

use syn::{ItemUse, UseTree, Visibility, spanned::Spanned, visit::Visit};

use super::Complaint;
use crate::modules::Sources;

pub(super) fn check(sources: &Sources) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (path, file) in sources {
        let mut globs = Globs(Vec::new());
        globs.visit_file(file);
        complaints.extend(globs.0.into_iter().map(|line| {
            let says = "re-exports everything with `*`; name what is offered".to_owned();
            Complaint::new("exports", format!("{path}:{line}"), says)
        }));
    }
    complaints
}

struct Globs(Vec<usize>);

impl Visit<'_> for Globs {
    fn visit_item_use(&mut self, it: &ItemUse) {
        if !matches!(it.vis, Visibility::Inherited) && has_glob(&it.tree) {
            self.0.push(it.span().start().line);
        }
    }
}

fn has_glob(tree: &UseTree) -> bool {
    match tree {
        UseTree::Glob(_) => true,
        UseTree::Path(it) => has_glob(&it.tree),
        UseTree::Group(it) => it.items.iter().any(has_glob),
        UseTree::Name(_) | UseTree::Rename(_) => false,
    }
}
