"""LFM2 for training: the arithmetic of transformers' Lfm2ForCausalLM under the same weight names, without what slows a CPU down.

The short convolution is three shifted products, attention two plain products (twice as fast as the fused one at these lengths); the last feed-forward and the head see only the positions that
are trained.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

EPS = 1e-5


class Norm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), EPS)


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs, bias=False)


class Conv(nn.Module):
    """Gated short convolution: out(c ⊙ (taps * (b ⊙ x)))."""

    def __init__(self, d, taps):
        super().__init__()
        self.in_proj, self.out_proj = linear(d, 3 * d), linear(d, d)
        self.conv = nn.Conv1d(d, d, taps, groups=d, bias=False)

    def forward(self, x, _):
        b, c, v = self.in_proj(x).chunk(3, dim=-1)
        u, w = b * v, self.conv.weight[:, 0]
        taps = w.shape[1]
        mixed = u * w[:, -1].to(u.dtype)
        for back in range(1, taps):
            mixed = mixed + F.pad(u[:, :-back], (0, 0, back, 0)) * w[:, -1 - back].to(u.dtype)
        return self.out_proj(c * mixed)


def rotate(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-b, a), dim=-1) * sin


class Attention(nn.Module):
    def __init__(self, d, heads, groups):
        super().__init__()
        self.heads, self.groups, self.size = heads, groups, d // heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = linear(d, d), linear(d, groups * self.size), linear(d, groups * self.size), linear(d, d)
        self.q_layernorm, self.k_layernorm = Norm(self.size), Norm(self.size)

    def forward(self, x, rope, point=None):
        B, T, D = x.shape
        G, R, S = self.groups, self.heads // self.groups, self.size
        cos, sin = rope[0][:T, None].to(x.dtype), rope[1][:T, None].to(x.dtype)
        q = rotate(self.q_layernorm(self.q_proj(x).view(B, T, G * R, S)) * S ** -0.5, cos, sin)
        k = rotate(self.k_layernorm(self.k_proj(x).view(B, T, G, S)), cos, sin).transpose(1, 2).reshape(B * G, T, S)
        v = self.v_proj(x).view(B, T, G, S).transpose(1, 2).reshape(B * G, T, S)
        q = q.view(B, T, G, R, S).permute(0, 2, 3, 1, 4).reshape(B * G, R * T, S)
        future = torch.full((T, T), -3e4, dtype=x.dtype, device=x.device).triu(1).repeat(R, 1)
        p = torch.baddbmm(future, q, k.transpose(1, 2)).softmax(-1)
        if point is not None:  # the first head of each group is to look at the source of what it copies (or of the tool that is meant)
            row, at, source, weight = point
            self.pointed = (-p.view(B, G, R, T, T)[row, :, 0, at, source].float().clamp(min=1e-9).log().mean(1) * weight).sum() / weight.sum().clamp(min=1)
        y = (p @ v).view(B, G, R, T, S).permute(0, 3, 1, 2, 4).reshape(B, T, D)
        return self.out_proj(y)


class Feed(nn.Module):
    def __init__(self, d, f):
        super().__init__()
        self.w1, self.w3, self.w2 = linear(d, f), linear(d, f), linear(f, d)

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Layer(nn.Module):
    def __init__(self, config, kind):
        super().__init__()
        d = config["hidden_size"]
        self.operator_norm, self.ffn_norm = Norm(d), Norm(d)
        if kind == "conv":
            self.conv = Conv(d, config["conv_L_cache"])
        else:
            self.self_attn = Attention(d, config["num_attention_heads"], config["num_key_value_heads"])
        self.feed_forward = Feed(d, config["intermediate_size"])
        self.operator = "conv" if kind == "conv" else "self_attn"

    def forward(self, x, rope, at=None, point=None):
        x = x + getattr(self, self.operator)(self.operator_norm(x), *((rope, point) if point is not None else (rope,)))
        if at is not None:
            x = x.flatten(0, 1)[at]
        return x + self.feed_forward(self.ffn_norm(x))


class Lfm2(nn.Module):
    def __init__(self, config):
        super().__init__()
        d, size = config["hidden_size"], config["hidden_size"] // config["num_attention_heads"]
        self.embed_tokens = nn.Embedding(config["vocab_size"], d)
        self.layers = nn.ModuleList(Layer(config, kind) for kind in config["layer_types"])
        self.embedding_norm = Norm(d)
        angles = torch.outer(torch.arange(config["max_position_embeddings"]).float(), config["rope_theta"] ** (-torch.arange(0, size, 2).float() / size))
        angles = torch.cat((angles, angles), dim=-1)
        self.rope = (angles.cos(), angles.sin())
        self.start()

    @torch.no_grad()
    def start(self):
        """Initial weights: random inside, nothing written to the residual stream; and a copying head, which a short training would spend its time on.

        Half of the stream holds the token. The first convolution writes the two tokens before into the other half; in the second attention layer, a head asks for the place where these tokens
        stood before, and writes the token that came next there (an induction head, Olsson et al. 2022). All of it is trained like the rest.
        """
        d = self.embed_tokens.weight.shape[1]
        half, quarter = d // 2, d // 4
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.5 * p.shape[1:].numel() ** -0.5)
        for layer in self.layers:
            layer.feed_forward.w2.weight.zero_()
            getattr(layer, layer.operator).out_proj.weight.zero_()
        embedding = self.embed_tokens.weight
        nn.init.normal_(embedding, std=0.05)
        embedding[:, half:] *= 0.02
        embedding[:, 0] = 0.25  # a constant, so that gates can stand open
        one = 0.25 / embedding.pow(2).mean(1).sqrt().mean()

        conv = self.layers[0].conv
        project = nn.init.orthogonal_(torch.empty(quarter, half - 1))
        b, c, v = conv.in_proj.weight.view(3, d, d)
        for gate in (b, c):
            gate[:half] *= 0.1
            gate[:half, 0] = 1 / one
        v[:half] = 0
        v[:quarter, 1:half] = v[quarter:half, 1:half] = project
        conv.conv.weight[:half] = 0
        conv.conv.weight[:quarter, 0, -2] = 1
        conv.conv.weight[quarter:half, 0, -3] = 1
        conv.out_proj.weight[half:, :half] = 0.05 * torch.eye(half)

        attention = [layer.self_attn for layer in self.layers if layer.operator == "self_attn"]
        size, groups = attention[0].size, attention[0].groups
        repeat = attention[0].heads // groups
        slow = [i for i in range(size) if i % (size // 2) >= 3 * size // 16]  # rotated little over a hundred tokens
        for a in attention[1:]:
            for group in range(groups):  # values: a part of the token each, written where it was read
                head, part = group * repeat, slice(group * half // groups, (group + 1) * half // groups)
                a.v_proj.weight[group * size:(group + 1) * size] = torch.eye(d)[part]
                a.out_proj.weight[part, head * size:(head + 1) * size] = 0.15 * torch.eye(size)
                a.out_proj.weight[0] = 0
        average(attention[0], one, 0.05)
        a = attention[1]
        for group in range(groups):
            last = nn.init.orthogonal_(torch.empty(3 * len(slow) // 5, quarter))
            before = nn.init.orthogonal_(torch.empty(len(slow) - len(last), quarter))
            q, k = a.q_proj.weight[group * repeat * size:][:size], a.k_proj.weight[group * size:][:size]
            q.zero_(), k.zero_()
            for row, i in enumerate(slow):
                if row < len(last):
                    q[i, 1:half], k[i, half:half + quarter] = last[row] @ project, last[row]
                else:
                    q[i, half:half + quarter] = k[i, half + quarter:] = before[row - len(last)]

    def forward(self, ids, at=None, point=None):
        """ids (B, T) → logits (N, V) at the flat positions `at`, all by default; `point` (rows, positions, sources, weights) is what the copying heads of the last attention should look at."""
        x = self.embed_tokens(ids)
        for layer in self.layers[:-1]:
            x = layer(x, self.rope)
        x = self.layers[-1](x, self.rope, torch.arange(ids.numel(), device=ids.device) if at is None else at, point)
        return F.linear(self.embedding_norm(x), self.embed_tokens.weight)

    def pointed(self):
        """How far the copying heads were from the places they should look at: the mean of -log(their share there)."""
        return self.layers[-1].self_attn.pointed


@torch.no_grad()
def average(a, one, scale):
    """Makes the last two heads of an attention averages over about the last 8 and the last 40 tokens (queries and keys that only turn with the position): what a line or a request is about."""
    d, size, groups = a.out_proj.weight.shape[0], a.size, a.groups
    near, far = (range(first * size // 64, (first + 4) * size // 64) for first in (4, 8))
    k, v = a.k_proj.weight[-size:], a.v_proj.weight[-size:]
    k.zero_(), v.zero_()
    k[[*near, *far], 0] = 1 / one
    v[:, 1:d // 2] = nn.init.orthogonal_(torch.empty(size, d // 2 - 1))
    for turns, head in ((near, a.heads - 2), (far, a.heads - 1)):
        part = slice(head * size, (head + 1) * size)
        a.q_proj.weight[part] = 0
        a.q_proj.weight[part][list(turns), 0] = 1 / one
        a.out_proj.weight[:, part] = scale * nn.init.orthogonal_(torch.empty(d, size))
