// put — y[t, n] = v
override width: u32; // of a row of y

@group(0) @binding(21) var<storage, read_write> y: array<f32>;

fn put(t: u32, n: u32, v: f32) {
  let at = t * width + n;
  y[at] = v + bias_at(n);
}
