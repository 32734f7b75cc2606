//! The stack of a search that does not recurse: in place for trees of usual height.

/// Frames that need no allocation: a tree of a billion points is five or six levels high.
const INLINE: usize = 8;

#[derive(Clone, Debug)]
pub(super) struct Frames<F> {
    inline: [Option<F>; INLINE],
    beyond: Vec<F>,
    len: usize,
}

impl<F: Copy> Frames<F> {
    pub(super) fn new() -> Self {
        Self { inline: [None; INLINE], beyond: Vec::new(), len: 0 }
    }

    #[inline]
    pub(super) fn push(&mut self, frame: F) {
        match self.inline.get_mut(self.len) {
            Some(place) => *place = Some(frame),
            None => self.beyond.push(frame),
        }
        self.len += 1;
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<F> {
        self.len = self.len.checked_sub(1)?;
        match self.inline.get(self.len) {
            Some(place) => *place,
            None => self.beyond.pop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_stack_at_any_depth() {
        let mut frames = Frames::new();
        for round in 0..3 {
            for depth in 0..20 * round {
                frames.push(depth);
            }
            for depth in (0..20 * round).rev() {
                assert_eq!(frames.pop(), Some(depth));
            }
            assert_eq!(frames.pop(), None);
        }
    }
}
