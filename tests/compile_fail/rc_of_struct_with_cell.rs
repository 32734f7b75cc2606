use std::cell::Cell;
use std::rc::Rc;

#[derive(stillheap::typed::Durable)]
struct Counter {
    count: Cell<u32>,
}

#[derive(stillheap::typed::Durable)]
struct Root {
    counter: Rc<Counter>,
}

fn main() {}
