// main — a dispatch over two parts of a matrix, each in a format of its own: after the first `split` workgroups begin those of the second
override split: u32;

@compute @workgroup_size(group_size)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let group = wid.y * grid.x + wid.x;
  if (group < split) { multiply(group, lid); } else { multiply_2(group - split, lid); }
}
