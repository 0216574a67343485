--- The words that invented channels, titles and categories are made of.
local M = {}

M.first = {
  "달빛", "새벽", "초록", "은하", "포근한", "느린", "졸린", "꼬마", "봄날", "겨울", "노란", "하얀",
  "푸른", "작은", "한밤의", "골목", "바닷가", "구름", "별빛", "솜사탕", "단팥", "소금", "유자", "살구",
  "도토리", "보리", "들판", "옥상", "다락방", "오후", "비오는", "두번째", "조용한", "신나는", "엉뚱한",
  "반짝", "뽀송", "말랑", "씩씩한", "나른한",
}

M.second = {
  "고양이", "우산", "라면", "선인장", "우체통", "철도", "앵두", "빙수", "토끼", "기타", "수달", "여우",
  "만두", "감자", "호떡", "찻집", "등대", "나침반", "펭귄", "두더지", "참새", "고래", "오리", "젤리",
  "식빵", "마법사", "탐험가", "요정", "대장", "선장", "기사", "농부", "서점", "공방", "다람쥐", "솔방울",
  "민들레", "풍선", "종이배", "카세트",
}

M.user = {
  "haneul", "sonamu", "dalbit", "byeolbit", "gureum", "bori", "dotori", "mandu", "gamja", "sudal",
  "yeou", "gorae", "norang", "parang", "sarang", "namu", "bada", "sanho", "duri", "maru",
}

M.categories = {
  { id = "Starfall_Knights", type = "GAME", name = "별의 기사단", no = "00040101", kind = "game" },
  { id = "Rift_Arena", type = "GAME", name = "균열의 투기장", no = "00040102", kind = "game" },
  { id = "Island_Survival", type = "GAME", name = "무인도 생존기", no = "00040103", kind = "game" },
  { id = "Maple_Town", type = "GAME", name = "단풍마을 온라인", no = "00040104", kind = "game" },
  { id = "Zero_Squad", type = "GAME", name = "제로 스쿼드", no = "00040105", kind = "game" },
  { id = "Block_World", type = "GAME", name = "블록월드", no = "00040106", kind = "game" },
  { id = "Night_Manor", type = "GAME", name = "밤의 저택", no = "00040107", kind = "game" },
  { id = "Card_Legends", type = "GAME", name = "카드 레전드", no = "00040108", kind = "game" },
  { id = "Football_Manager_Cup", type = "GAME", name = "풋볼 컵", no = "00040109", kind = "game" },
  { id = "talk", type = "ETC", name = "토크/잡담", no = "00130000", kind = "talk" },
  { id = "music", type = "ETC", name = "음악/노래", no = "00330001", kind = "music" },
  { id = "food", type = "ETC", name = "먹방/쿡방", no = "00330000", kind = "food" },
  { id = "art", type = "ETC", name = "그림/아트", no = "00330002", kind = "art" },
  { id = "study", type = "ETC", name = "공부/독서", no = "00330003", kind = "study" },
  { id = "sports", type = "SPORTS", name = "스포츠 같이 보기", no = "00100000", kind = "sports" },
}

M.titles = {
  game = {
    "오늘은 꼭 승급합니다", "[노방종] 엔딩 볼 때까지 안 끕니다", "시청자 참여 / 5인 내전 구합니다",
    "신규 업데이트 같이 봐요", "복귀 유저의 첫 레이드", "초보 환영 | 하나씩 배워 갑니다",
    "마스터까지 한 판 남았습니다", "보스 공략 3일차 <이번엔 된다>", "친구들이랑 합방 & 벌칙 내기",
    "패치 노트 읽고 바로 랭크", "길드전 대비 연습", "아무 말 없이 집중 게임",
  },
  talk = {
    "퇴근하고 한잔 같이해요", "오늘 있었던 일 이야기", "사연 읽어 드립니다 (고민 상담)",
    "잠이 안 와서 켰습니다", "100일 기념 방송 & 선물", "오랜만에 수다 떨어요ㅎㅎ",
  },
  music = {
    "🎧 새벽 라디오 · 신청곡 받음", "기타 치며 노래합니다", "피아노 연습 3시간", "노래 연습실 오픈",
  },
  food = {
    "집밥 같이 먹어요", "오늘 밤 라면 3봉 도전", "매운 떡볶이 & 튀김", "빵 굽는 날 <소금빵>",
  },
  art = { "그림 그리면서 수다", "커미션 작업 중입니다", "도트 찍는 방송", "손뜨개 느긋하게" },
  study = { "오늘은 조용히 공부 같이해요", "시험 D-7 밤샘 공부", "아침 독서 모임", "타이머 켜고 4시간" },
  sports = { "오늘 경기 같이 봐요!", "개막전 입중계", "하이라이트 다시 보기", "선수들 몸 푸는 중" },
}

M.tags = {
  game = { "종합게임", "초보환영", "한국어", "시청자참여" }, talk = { "소통", "잡담", "한국어" },
  music = { "노래", "라디오", "힐링" }, food = { "먹방", "요리" }, art = { "그림", "작업" },
  study = { "공부", "캠스터디" }, sports = { "입중계", "응원" },
}

--- What a title becomes when something is going on.
M.hooks = {
  "합방 시작합니다", "[긴급] 깜짝 발표 있습니다", "특별 손님과 함께", "결승전 시작!", "구독자 이벤트 추첨 중",
}

return M
