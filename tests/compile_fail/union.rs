#[derive(stillheap::typed::Durable)]
union Root {
    a: u32,
    b: f32,
}

fn main() {}
