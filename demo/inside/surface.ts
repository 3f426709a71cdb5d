/** The values as a surface that can be turned, drawn with WebGPU. */
import { mat4, vec3 } from 'wgpu-matrix';
import { colourScale } from './colours';
import type { Grid } from './grid';

/** Where the eye is: angles in radians. At distance 1 the whole surface is just in view. */
export interface Eye {
  yaw: number;
  pitch: number;
  distance: number;
}

export const FIRST_EYE: Readonly<Eye> = { yaw: 0.6, pitch: 0.75, distance: 1 };

/** Keeps the surface in sight. */
export const inSight = ({ yaw, pitch, distance }: Eye): Eye => ({
  yaw,
  pitch: Math.min(1.5, Math.max(0.1, pitch)),
  distance: Math.min(2.5, Math.max(0.4, distance)),
});

const WGSL = `
struct View { matrix: mat4x4f, rows: u32, columns: u32, largest: f32, height: f32 }
@group(0) @binding(0) var<uniform> view: View;
@group(0) @binding(1) var<storage> heights: array<f32>;
@group(0) @binding(2) var<storage> scale: array<vec4f>;

struct Corner { @builtin(position) position: vec4f, @location(0) place: vec3f, @location(1) value: f32 }

// six corners a cell, two triangles
@vertex fn corner(@builtin(vertex_index) index: u32) -> Corner {
  let cell = index / 6u;
  var corners = array(vec2u(0u, 0u), vec2u(1u, 0u), vec2u(0u, 1u), vec2u(0u, 1u), vec2u(1u, 0u), vec2u(1u, 1u));
  let at = vec2u(cell % (view.columns - 1u), cell / (view.columns - 1u)) + corners[index % 6u];
  let value = heights[at.y * view.columns + at.x] / view.largest;
  let place = vec3f(f32(at.x) / f32(view.columns - 1u) - 0.5, value * view.height, f32(at.y) / f32(view.rows - 1u) - 0.5);
  return Corner(view.matrix * vec4f(place, 1.0), place, value);
}

@fragment fn shade(given: Corner) -> @location(0) vec4f {
  let normal = normalize(cross(dpdx(given.place), dpdy(given.place)));
  let light = 0.65 + 0.35 * abs(dot(normal, normalize(vec3f(0.4, 0.8, 0.45))));
  let step = clamp((given.value + 1.0) * 0.5, 0.0, 1.0) * f32(arrayLength(&scale) - 1u);
  return vec4f(scale[u32(step + 0.5)].rgb * light, 1.0);
}
`;

const STEPS = 255;
/** of the highest point, in widths of the surface */
export const HEIGHT = 0.35;
/** the angle of view from top to bottom, in radians */
const VIEW_ANGLE = 0.8;
/** around the surface, as a share of the view */
const MARGIN = 1.04;

/**
 * The distance at which the surface is in view however it is turned: the cylinder around it, from a point at this
 * pitch.
 */
export function fittingDistance(pitch: number, aspect: number): number {
  const slope = Math.tan(VIEW_ANGLE / 2) / MARGIN;
  let distance = 0;
  for (let angle = 0; angle < 2 * Math.PI; angle += Math.PI / 16) {
    const [across, away] = [Math.SQRT1_2 * Math.sin(angle), Math.SQRT1_2 * Math.cos(angle)];
    for (const height of [-HEIGHT, HEIGHT]) {
      const towards = away * Math.cos(pitch) + height * Math.sin(pitch);
      const up = height * Math.cos(pitch) - away * Math.sin(pitch);
      distance = Math.max(distance, towards + Math.abs(across) / (slope * aspect), towards + Math.abs(up) / slope);
    }
  }
  return distance;
}

/** From places of the surface to the picture. */
export function viewMatrix({ yaw, pitch, distance }: Eye, aspect: number): Float32Array {
  const away = distance * fittingDistance(pitch, aspect);
  const eye = vec3.create(
    away * Math.cos(pitch) * Math.sin(yaw),
    away * Math.sin(pitch),
    away * Math.cos(pitch) * Math.cos(yaw),
  );
  return mat4.multiply(
    mat4.perspective(VIEW_ANGLE, aspect, 0.05, 20),
    mat4.lookAt(eye, [0, 0, 0], [0, 1, 0]),
  ) as Float32Array;
}

export interface Surface {
  /** The next frames show these values. */
  set(grid: Grid, dark: boolean): void;
  /** Draws a frame as large as the canvas. */
  draw(eye: Eye): void;
  /** resolves when the device is lost: nothing is drawn any more */
  readonly lost: Promise<unknown>;
  dispose(): void;
}

/**
 * A grid needs two rows and two columns.
 * @returns undefined where the browser has no WebGPU
 */
export async function createSurface(canvas: HTMLCanvasElement): Promise<Surface | undefined> {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  const device = await adapter?.requestDevice().catch(() => undefined);
  if (!device) return undefined;
  const context = canvas.getContext('webgpu');
  if (!context) return undefined;
  const format = navigator.gpu.getPreferredCanvasFormat();
  context.configure({ device, format, alphaMode: 'premultiplied' });
  const module = device.createShaderModule({ code: WGSL });
  // rejects on a device that cannot draw it: the flat map is shown
  const pipeline = await device.createRenderPipelineAsync({
    layout: 'auto',
    vertex: { module },
    fragment: { module, targets: [{ format }] },
    depthStencil: { format: 'depth24plus', depthWriteEnabled: true, depthCompare: 'less' },
  });
  const view = device.createBuffer({ size: 80, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
  const scale = device.createBuffer({ size: 16 * STEPS, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST });
  let heights: GPUBuffer | undefined;
  let shown: Grid | undefined;
  let depth: GPUTexture | undefined;

  return {
    set(grid, dark) {
      shown = grid;
      heights?.destroy();
      heights = device.createBuffer({
        size: grid.values.byteLength,
        usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
      });
      device.queue.writeBuffer(heights, 0, grid.values.slice());
      const colour = colourScale(dark);
      const colours = Array.from({ length: STEPS }, (_, i) => [
        ...colour((2 * i) / (STEPS - 1) - 1).map((part) => part / 255),
        1,
      ]);
      device.queue.writeBuffer(scale, 0, Float32Array.from(colours.flat()));
    },
    draw(eye) {
      if (!shown || !heights || canvas.width === 0 || canvas.height === 0) return;
      const { rows, columns, largest } = shown;
      const uniforms = new ArrayBuffer(80);
      new Float32Array(uniforms).set(viewMatrix(eye, canvas.width / canvas.height));
      new Uint32Array(uniforms).set([rows, columns], 16);
      new Float32Array(uniforms).set([largest, HEIGHT], 18);
      device.queue.writeBuffer(view, 0, uniforms);
      if (depth?.width !== canvas.width || depth.height !== canvas.height) {
        depth?.destroy();
        depth = device.createTexture({
          size: [canvas.width, canvas.height],
          format: 'depth24plus',
          usage: GPUTextureUsage.RENDER_ATTACHMENT,
        });
      }
      const group = device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: [view, heights, scale].map((buffer, binding) => ({ binding, resource: { buffer } })),
      });
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginRenderPass({
        colorAttachments: [
          {
            view: context.getCurrentTexture().createView(),
            loadOp: 'clear',
            storeOp: 'store',
            clearValue: [0, 0, 0, 0],
          },
        ],
        depthStencilAttachment: {
          view: depth.createView(),
          depthLoadOp: 'clear',
          depthStoreOp: 'discard',
          depthClearValue: 1,
        },
      });
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.draw(6 * (rows - 1) * (columns - 1));
      pass.end();
      device.queue.submit([encoder.finish()]);
    },
    lost: device.lost,
    dispose: () => device.destroy(),
  };
}
