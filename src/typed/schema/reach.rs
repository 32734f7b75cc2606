//! What a type's graph says as a whole: links, interior mutability, and whether the
//! combination is sound. Exact, whatever the traits and the derive could see.

use std::collections::VecDeque;

use super::model::{Interior, Kind, Link, Schema, Type, TypeRef};

/// Why a type cannot be kept, although all of its parts can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A shared pointer over a cell: a clone could change the heap outside every scope.
    #[error(
        "`{shared}` at `{path}` shares a `{cell}`: a clone of it kept outside a scope could \
         change the heap while a snapshot is taken; keep the `{cell}` outside the `{shared}`, \
         use atomics, or own the value instead of sharing it"
    )]
    SharedCell {
        /// Where the cell is, from the root's type on.
        path: String,
        /// The shared pointer.
        shared: String,
        /// The type with interior mutability behind it.
        cell: String,
    },
    /// A value in tracked memory that changes without being announced.
    #[error(
        "`{tracked}` at `{path}` holds a `{cell}` in its pages, which can change through a shared \
         reference: nobody would announce that, and a snapshot could save it half done. Keep the \
         `{cell}` beside the `{tracked}`, or in a `Box` in it"
    )]
    TrackedCell {
        /// Where the cell is, from the root's type on.
        path: String,
        /// `Tracked` or `Rows`.
        tracked: String,
        /// The type with interior mutability in it.
        cell: String,
    },
    /// A hash map's hasher holds pointers into the executable.
    #[error(
        "the hasher `{hasher}` at `{path}` holds pointers into the executable (`{linked}`), which \
         a hash map's hasher may not: store what they point to instead"
    )]
    LinkedHasher {
        /// Where the hasher is, from the root's type on.
        path: String,
        /// The hasher.
        hasher: String,
        /// The type in it with such pointers.
        linked: String,
    },
    /// A borrowed slice whose elements hold pointers into the executable.
    #[error(
        "`{slice}` at `{path}` may borrow elements that hold pointers into the executable \
         (`{linked}`) and that several owners see: use a `Vec` or an `Arc<[T]>`"
    )]
    LinkedSlice {
        /// Where the elements are, from the root's type on.
        path: String,
        /// The borrowing type.
        slice: String,
        /// The type in the elements with such pointers.
        linked: String,
    },
}

/// Types of std's whose values lie elsewhere, in a block of their own.
const POINTERS: [&str; 13] = [
    "Arc",
    "BTreeMap",
    "BTreeSet",
    "BinaryHeap",
    "Box",
    "Cow",
    "HashMap",
    "HashSet",
    "LinkedList",
    "Rc",
    "Vec",
    "VecDeque",
    "Weak",
];

fn is_pointer(ty: &Type) -> bool {
    ty.kind == Kind::Std && POINTERS.iter().any(|name| ty.name.ends_with(name))
}

fn is_tracked(ty: &Type) -> bool {
    ["stillheap::Tracked", "stillheap::Rows"].contains(&&*ty.name)
}

impl Schema {
    /// The strongest link of all types reached: whether, and how, a restart has to relink.
    #[must_use]
    pub fn link(&self) -> Link {
        self.reached(TypeRef(0)).map(|(of, _)| self.get(of).link).max().unwrap_or(Link::None)
    }

    /// The most that can be changed in a value through a shared reference.
    #[must_use]
    pub fn interior(&self) -> Interior {
        self.reached(TypeRef(0))
            .map(|(of, _)| self.get(of).interior)
            .max()
            .unwrap_or(Interior::None)
    }

    /// Whether the type may be kept: nothing shared can be changed outside a scope, and every
    /// pointer into the executable can be relinked.
    ///
    /// # Errors
    /// Names the offending types and where they are.
    pub fn check(&self) -> Result<(), SchemaError> {
        self.reached(TypeRef(0)).try_for_each(|(of, _)| {
            self.check_shared(of)?;
            self.check_tracked(of)?;
            self.check_hasher(of)?;
            self.check_slice(of)
        })
    }

    fn check_shared(&self, of: TypeRef) -> Result<(), SchemaError> {
        let ty = self.get(of);
        if !ty.shared {
            return Ok(());
        }
        let Some((cell, path)) = self.find(of, |ty| ty.interior == Interior::Cells) else {
            return Ok(());
        };
        let (shared, cell) = (self.type_name(of), self.type_name(cell));
        Err(SchemaError::SharedCell { path: self.path_through(of, &path), shared, cell })
    }

    fn check_tracked(&self, of: TypeRef) -> Result<(), SchemaError> {
        if !is_tracked(self.get(of)) {
            return Ok(());
        }
        let mut next: Vec<(TypeRef, Vec<&str>)> =
            self.get(of).parts().into_iter().map(|(role, part)| (part, vec![role])).collect();
        let mut seen = vec![false; self.types.len()];
        while let Some((part, steps)) = next.pop() {
            let ty = self.get(part);
            if std::mem::replace(&mut seen[part.0 as usize], true) {
                continue;
            }
            if ty.interior != Interior::None && !is_pointer(ty) {
                let steps: Vec<String> = steps.into_iter().map(str::to_owned).collect();
                let path = self.path_through(of, &steps);
                let (tracked, cell) = (self.type_name(of), self.type_name(part));
                return Err(SchemaError::TrackedCell { path, tracked, cell });
            }
            for (role, inner) in ty.parts() {
                if !is_tracked(ty) && (!is_pointer(ty) || role == "hasher") {
                    let further = steps.iter().copied().chain([role]).collect();
                    next.push((inner, further));
                }
            }
        }
        Ok(())
    }

    fn check_hasher(&self, of: TypeRef) -> Result<(), SchemaError> {
        let ty = self.get(of);
        let hasher = ty.parts().into_iter().find(|(role, _)| *role == "hasher");
        let Some((role, hasher)) = hasher.filter(|_| ty.kind == Kind::Std) else {
            return Ok(());
        };
        let Some((linked, _)) = self.find(hasher, |ty| ty.link != Link::None) else {
            return Ok(());
        };
        let path = self.path_through(of, &[role.to_owned()]);
        let (hasher, linked) = (self.type_name(hasher), self.type_name(linked));
        Err(SchemaError::LinkedHasher { path, hasher, linked })
    }

    fn check_slice(&self, of: TypeRef) -> Result<(), SchemaError> {
        let ty = self.get(of);
        let element = ty.parts().first().copied();
        let Some((role, element)) = element.filter(|_| ty.shared && ty.link == Link::Pinned) else {
            return Ok(());
        };
        let Some((linked, _)) = self.find(element, |ty| ty.link != Link::None) else {
            return Ok(());
        };
        let path = self.path_through(of, &[role.to_owned()]);
        let (slice, linked) = (self.type_name(of), self.type_name(linked));
        Err(SchemaError::LinkedSlice { path, slice, linked })
    }

    /// The first type with the property among those reached from `from`, and the steps to it.
    pub(crate) fn find(
        &self,
        from: TypeRef,
        property: impl Fn(&Type) -> bool,
    ) -> Option<(TypeRef, Vec<String>)> {
        self.reached(from).find(|(of, _)| property(self.get(*of)))
    }

    /// `Root.step.step`, from the described type to `of` and on along `steps`.
    pub(crate) fn path_through(&self, of: TypeRef, steps: &[String]) -> String {
        let before = self.reached(TypeRef(0)).find(|(reached, _)| *reached == of);
        let mut path = vec![self.root().short_name().to_owned()];
        path.extend(before.map(|(_, steps)| steps).unwrap_or_default());
        path.extend_from_slice(steps);
        path.join(".")
    }

    /// The types of which a value of `from` holds values, itself first, nearest first, each once,
    /// with the names of the steps to it.
    pub(crate) fn reached(&self, from: TypeRef) -> impl Iterator<Item = (TypeRef, Vec<String>)> {
        let mut seen = vec![false; self.types.len()];
        seen[from.0 as usize] = true;
        let mut next = VecDeque::from([(from, Vec::new())]);
        std::iter::from_fn(move || {
            let (of, steps) = next.pop_front()?;
            for (name, part) in self.get(of).parts() {
                if !std::mem::replace(&mut seen[part.0 as usize], true) {
                    let mut further = steps.clone();
                    further.push(name.to_owned());
                    next.push_back((part, further));
                }
            }
            Some((of, steps))
        })
    }

    /// For each type, the strongest link of all that a value of it holds.
    pub(crate) fn links(&self) -> Vec<Link> {
        let mut links: Vec<Link> = self.types().map(|of| of.link).collect();
        loop {
            let mut changed = false;
            for (index, ty) in self.types().enumerate() {
                let through = ty.parts().iter().map(|(_, part)| links[part.0 as usize]).max();
                let link = through.unwrap_or(Link::None).max(links[index]);
                changed |= link != std::mem::replace(&mut links[index], link);
            }
            if !changed {
                return links;
            }
        }
    }
}
