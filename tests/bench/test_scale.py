from clara.bench.scale import MISTRAL_7B, Assumptions, simulate


def test_the_arithmetic_of_twenty_one_million_documents_by_hand() -> None:
    given = Assumptions(padding=0.0, lora_share=0.0, document_tokens=141, teraflops=400)
    found = dict(map(tuple, simulate(MISTRAL_7B, 21_000_000, given)))  # type: ignore[arg-type]
    # 2 * 6.98e9 * (141 + 3 + 16) * 21e6 / 4e14 / 3600
    assert found["compression, GPU hours"] == "32.6"
    assert found["store, bfloat16"] == "2.75 TB"  # 21e6 * 16 * 4096 * 2
    assert found["store, int8"] == "1.38 TB"
    assert found["index"] == "10.8 GB"
    # 10.752e9 / 5e9 / 16 + 200 / 20000
    assert found["two-stage search on 16 cores, index in memory"] == "144 ms"
