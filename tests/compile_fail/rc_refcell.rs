use std::cell::RefCell;
use std::rc::Rc;

#[derive(stillheap::typed::Durable)]
struct Root {
    count: Rc<RefCell<u32>>,
}

fn main() {}
