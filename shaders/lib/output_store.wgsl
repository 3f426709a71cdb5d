// write_output — y[t, n] = v
override width: u32; // values per row of y

@group(0) @binding(21) var<storage, read_write> y: array<f32>;

fn write_output(t: u32, n: u32, v: f32) {
  let at = t * width + n;
  y[at] = v + bias_at(n);
}
